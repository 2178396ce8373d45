import { describe, expect, it } from "vitest";
import type { Files } from "../../src/core/ports/files.ts";
import { filesCopyTests, filesMeasureTests, filesStepTests } from "./files-copies.ts";

/** A machine's files, and a hand of the test's own on the same machine. */
export interface FilesGiven {
  readonly files: Files;
  /** An empty directory. */
  readonly root: string;
  /** An empty directory on another file system. */
  readonly other: string;
  /** An empty directory on a file system of at most 1 MiB. */
  readonly small: string;
  /** A read-only view of `root`. */
  readonly readOnly: string;
  /** Makes a symbolic link. */
  readonly link: (target: string, path: string) => Promise<void>;
  /** Binds the directory `source` at a new directory `path`. */
  readonly bindAt: (source: string, path: string) => Promise<void>;
  /** Cuts the power, and starts again what `root` needs. The files of the next life; the old ones are dead. */
  readonly powerCut: () => Promise<Files>;
  readonly cleanup: () => Promise<void>;
}

/** How the suite gets at a machine with files. */
export interface FilesHarness {
  readonly fresh: () => Promise<FilesGiven>;
}

const MIB: number = 1024 ** 2;

/** Holds a form of `Files` to its numbered sentences. */
export function filesConformance(name: string, harness: FilesHarness): void {
  const check = (title: string, body: (given: FilesGiven) => Promise<void>): void => {
    it(title, async () => {
      const given = await harness.fresh();
      try {
        await body(given);
      } finally {
        await given.cleanup();
      }
    });
  };
  /** Expects a failure with `code` whose message names the path. */
  const fails = async (work: Promise<unknown>, code: string, path: string): Promise<void> => {
    await expect(work).rejects.toMatchObject({ code, message: expect.stringContaining(path) });
  };
  const { signal } = new AbortController();

  describe(`Files: ${name}`, () => {
    check("1 what is read-only stays as it is: failed_precondition", async (given) => {
      const { files, root, readOnly } = given;
      await files.writeText(`${root}/file`, "old");
      await files.makeDirectory(`${root}/directory`, { mode: 0o755 });
      const at = (path: string): string => `${readOnly}/${path}`;
      await fails(files.writeText(at("file"), "new"), "failed_precondition", at("file"));
      await fails(files.writeText(at("new"), "new"), "failed_precondition", at("new"));
      await fails(files.makeDirectory(at("d"), { mode: 0o755 }), "failed_precondition", at("d"));
      await fails(files.ensureDirectory(at("d"), { mode: 0o755 }), "failed_precondition", at("d"));
      await fails(files.rename(at("file"), at("to")), "failed_precondition", at("file"));
      await fails(files.setMode(at("file"), 0o644), "failed_precondition", at("file"));
      await fails(
        files.setOwner(at("file"), { uid: 1, gid: 1 }),
        "failed_precondition",
        at("file"),
      );
      await fails(files.createSparse(at("sparse"), MIB), "failed_precondition", at("sparse"));
      await fails(files.remove(at("file")), "failed_precondition", at("file"));
      await fails(files.removeTree(at("directory"), signal), "failed_precondition", readOnly);
      expect(await files.list(root)).toEqual(["directory", "file"]);
      expect(await files.readText(at("file"))).toBe("old");
    });

    check("1 no room: resource_exhausted, and the old text stays", async ({ files, small }) => {
      const path = `${small}/file`;
      await files.writeText(path, "old");
      await fails(files.writeText(path, "x".repeat(2 * MIB)), "resource_exhausted", path);
      expect(await files.readText(path)).toBe("old");
      expect(await files.list(small)).toEqual(["file"]);
      await files.writeText(path, "new");
      expect(await files.readText(path)).toBe("new");
    });

    check("1 a path below a file is absent or no directory, and names itself", async (given) => {
      const { files, root } = given;
      const path = `${root}/file/below`;
      await files.writeText(`${root}/file`, "text");
      expect(await files.stat(path)).toBeUndefined();
      expect(await files.readText(path)).toBeUndefined();
      await expect(files.writeText(path, "")).rejects.toThrow(path);
      await expect(files.list(`${root}/file`)).rejects.toThrow(`${root}/file`);
      await expect(files.makeDirectory(path, { mode: 0o755 })).rejects.toThrow(path);
      await expect(files.ensureDirectory(path, { mode: 0o755 })).rejects.toThrow(`${root}/file`);
    });

    check("2 follows no symbolic link in the last component", async ({ files, root, link }) => {
      await files.makeDirectory(`${root}/directory`, { mode: 0o755 });
      await files.writeText(`${root}/directory/file`, "text");
      await link(`${root}/directory`, `${root}/to-directory`);
      await link(`${root}/directory/file`, `${root}/to-file`);
      const links = [`${root}/to-directory`, `${root}/to-file`] as const;
      for (const path of links) expect(await files.stat(path)).toMatchObject({ kind: "symlink" });
      await fails(files.readText(links[1]), "invalid_argument", links[1]);
      await fails(files.list(links[0]), "invalid_argument", links[0]);
      await fails(files.syncDirectory(links[0]), "invalid_argument", links[0]);
      await fails(files.makeDirectory(links[0], { mode: 0o755 }), "already_exists", links[0]);
      await fails(files.createSparse(links[1], 1), "already_exists", links[1]);
      for (const path of links) {
        await fails(files.setMode(path, 0o700), "invalid_argument", path);
        await fails(files.setOwner(path, { uid: 1, gid: 1 }), "invalid_argument", path);
      }
      await files.rename(links[0], `${root}/moved`);
      expect(await files.stat(`${root}/moved`)).toMatchObject({ kind: "symlink" });
      await files.writeText(links[1], "new");
      expect(await files.stat(links[1])).toMatchObject({ kind: "file" });
      await files.removeTree(`${root}/moved`, signal);
      expect(await files.list(root)).toEqual(["directory", "to-file"]);
      expect(await files.readText(`${root}/directory/file`)).toBe("text");
      expect(await files.stat(`${root}/directory`)).toMatchObject({ mode: 0o755, uid: 0 });
    });

    check("4 tells what is at a path, and nothing of what is absent", async ({ files, root }) => {
      expect(await files.stat(`${root}/a`)).toBeUndefined();
      expect(await files.stat(`${root}/a/b`)).toBeUndefined();
      await files.writeText(`${root}/a`, "grüße");
      const stat = await files.stat(`${root}/a`);
      expect(stat).toMatchObject({ kind: "file", sizeBytes: 7, mode: 0o600, uid: 0, gid: 0 });
      const directory = await files.stat(root);
      expect(directory).toMatchObject({ kind: "directory", device: stat?.device });
      expect(directory?.inode).not.toBe(stat?.inode);
    });

    check("5 reads texts of up to 16 MiB", async ({ files, root }) => {
      expect(await files.readText(`${root}/a`)).toBeUndefined();
      expect(await files.readText(`${root}/a/b`)).toBeUndefined();
      await files.createSparse(`${root}/most`, 16 * MIB);
      expect((await files.readText(`${root}/most`))?.length).toBe(16 * MIB);
      await files.createSparse(`${root}/more`, 16 * MIB + 1);
      await fails(files.readText(`${root}/more`), "resource_exhausted", `${root}/more`);
      await fails(files.readText(root), "invalid_argument", root);
    });

    check("5 reads many texts at once, in order", async ({ files, root }) => {
      const paths = Array.from({ length: 2_500 }, (_, n) => `${root}/${n % 3 === 0 ? n : "none"}`);
      for (const n of [0, 3, 999, 1_002, 2_499]) await files.writeText(`${root}/${n}`, `text ${n}`);
      const texts = await files.readTexts(paths);
      expect(texts.length).toBe(paths.length);
      expect(texts.flatMap((text) => text ?? [])).toEqual(
        [0, 3, 999, 1_002, 2_499].map((n) => `text ${n}`),
      );
      expect(texts[999]).toBe("text 999");
      expect(await files.readTexts([])).toEqual([]);
      await files.createSparse(`${root}/more`, 16 * MIB + 1);
      await fails(
        files.readTexts([`${root}/0`, `${root}/more`]),
        "resource_exhausted",
        `${root}/more`,
      );
      await fails(files.readTexts([root]), "invalid_argument", root);
    });

    check("23 reads notes, and files as well", async ({ files, root }) => {
      await files.writeText(`${root}/a`, "a file");
      await files.perform([
        { do: "writeNote", path: `${root}/b`, text: "a note", fresh: true },
        { do: "writeNote", path: `${root}/c`, text: "a long one, ".repeat(500) },
      ]);
      const paths = ["a", "none", "b", "c", "a/none"].map((name) => `${root}/${name}`);
      const long = "a long one, ".repeat(500);
      expect(await files.readNotes(paths)).toEqual([
        "a file",
        undefined,
        "a note",
        long,
        undefined,
      ]);
      await files.perform([{ do: "writeNote", path: `${root}/a`, text: "a note instead" }]);
      expect(await files.readNotes([`${root}/a`])).toEqual(["a note instead"]);
      expect(await files.list(root)).toEqual(["a", "b", "c"]);
      await files.writeText(`${root}/b`, "a file instead");
      expect(await files.readText(`${root}/b`)).toBe("a file instead");
      await files.createSparse(`${root}/more`, 16 * MIB + 1);
      await fails(files.readNotes([`${root}/more`]), "resource_exhausted", `${root}/more`);
      await fails(files.readNotes([root]), "invalid_argument", root);
    });

    check("6 replaces a text whole, with mode 0600", async ({ files, root }) => {
      const path = `${root}/a`;
      for (const text of ["", "grüße 🚢\n\0", "x".repeat(100_000), "short"]) {
        await files.writeText(path, text);
        expect(await files.readText(path)).toBe(text);
        expect(await files.list(root)).toEqual(["a"]);
      }
      await files.setMode(path, 0o644);
      await files.writeText(path, "again");
      expect(await files.stat(path)).toMatchObject({ kind: "file", mode: 0o600, sizeBytes: 5 });
      await fails(files.writeText(`${root}/b/c`, ""), "not_found", `${root}/b/c`);
      await fails(files.writeText(root, ""), "invalid_argument", root);
    });

    check("6 readers see the old text or the new", async ({ files, root }) => {
      const path = `${root}/a`;
      const texts = ["a".repeat(200_000), "b".repeat(50_000)] as const;
      await files.writeText(path, texts[0]);
      const writing = (async () => {
        for (let round = 1; round <= 10; round++) {
          await files.writeText(path, texts[round % 2] ?? "");
        }
        return true;
      })();
      let done = false;
      const finished = writing.then(() => {
        done = true;
      });
      while (!done) expect(texts).toContain(await files.readText(path));
      await finished;
    });

    check("6 two writers at once leave one of both texts, and nothing else", async (given) => {
      const { files, root } = given;
      const texts = ["a", "b", "c", "d"];
      await Promise.all(texts.map((text) => files.writeText(`${root}/a`, text)));
      expect(texts).toContain(await files.readText(`${root}/a`));
      expect(await files.list(root)).toEqual(["a"]);
    });

    check("6, 3 a text outlives a power cut", async ({ files, root, powerCut }) => {
      await files.writeText(`${root}/a`, "old");
      await files.writeText(`${root}/a`, "new");
      const after = await powerCut();
      expect(await after.readText(`${root}/a`)).toBe("new");
    });

    check("7 lists names, sorted", async ({ files, root }) => {
      expect(await files.list(root)).toEqual([]);
      for (const path of ["b", "a b", ".c", "B", "ü"]) await files.writeText(`${root}/${path}`, "");
      expect(await files.list(root)).toEqual([".c", "B", "a b", "b", "ü"]);
      await fails(files.list(`${root}/none`), "not_found", `${root}/none`);
    });

    check("8 makes a directory with exactly its bits and owner", async ({ files, root }) => {
      for (const mode of [0o777, 0o1777, 0o2770, 0o755, 0o700, 0o0, 0o711]) {
        const path = `${root}/${mode}`;
        await files.makeDirectory(path, { mode, uid: 999, gid: 1000 });
        const expected = { kind: "directory", mode, uid: 999, gid: 1000 };
        expect(await files.stat(path)).toMatchObject(expected);
      }
      await files.makeDirectory(`${root}/own`, { mode: 0o755 });
      expect(await files.stat(`${root}/own`)).toMatchObject({ mode: 0o755, uid: 0, gid: 0 });
      const again = files.makeDirectory(`${root}/own`, { mode: 0o700 });
      await fails(again, "already_exists", `${root}/own`);
      const orphan = files.makeDirectory(`${root}/none/a`, { mode: 0o700 });
      await fails(orphan, "not_found", `${root}/none/a`);
      expect(await files.stat(`${root}/own`)).toMatchObject({ mode: 0o755 });
    });

    check("9 ensures a directory and its parents", async ({ files, root }) => {
      await files.ensureDirectory(`${root}/a/b/c`, { mode: 0o711 });
      expect(await files.stat(`${root}/a`)).toMatchObject({ kind: "directory", mode: 0o755 });
      expect(await files.stat(`${root}/a/b/c`)).toMatchObject({ kind: "directory", mode: 0o711 });
      await files.ensureDirectory(`${root}/a/b/c`, { mode: 0o711 });
      await files.ensureDirectory(`${root}/a/b/d`, { mode: 0o700 });
      expect(await files.list(`${root}/a/b`)).toEqual(["c", "d"]);
      await Promise.all(
        Array.from({ length: 5 }, () => files.ensureDirectory(`${root}/x/y/z`, { mode: 0o700 })),
      );
      await files.writeText(`${root}/file`, "");
      const path = `${root}/file`;
      await fails(files.ensureDirectory(path, { mode: 0o700 }), "already_exists", path);
    });

    check("9 goes through links to what it ensures", async ({ files, root, link }) => {
      await files.makeDirectory(`${root}/real`, { mode: 0o755 });
      await link(`${root}/real`, `${root}/link`);
      await files.ensureDirectory(`${root}/link/a/b`, { mode: 0o700 });
      await files.ensureDirectory(`${root}/link/a/b`, { mode: 0o700 });
      expect(await files.list(`${root}/real/a`)).toEqual(["b"]);
      const itself = files.ensureDirectory(`${root}/link`, { mode: 0o700 });
      await fails(itself, "already_exists", `${root}/link`);
    });

    check("9, 3 what was ensured outlives a power cut", async ({ files, root, powerCut }) => {
      await files.ensureDirectory(`${root}/a/b`, { mode: 0o711 });
      await files.makeDirectory(`${root}/there`, { mode: 0o755 });
      await files.ensureDirectory(`${root}/there`, { mode: 0o755 });
      const after = await powerCut();
      expect(await after.stat(`${root}/a/b`)).toMatchObject({ kind: "directory", mode: 0o711 });
      expect(await after.stat(`${root}/there`)).toMatchObject({ kind: "directory", mode: 0o755 });
    });

    check("10 renames, and never replaces", async ({ files, root }) => {
      await files.writeText(`${root}/a`, "a");
      await files.makeDirectory(`${root}/d`, { mode: 0o755 });
      await files.rename(`${root}/a`, `${root}/d/b`);
      expect(await files.list(root)).toEqual(["d"]);
      expect(await files.readText(`${root}/d/b`)).toBe("a");
      await files.writeText(`${root}/c`, "c");
      await files.makeDirectory(`${root}/empty`, { mode: 0o755 });
      await fails(files.rename(`${root}/c`, `${root}/d/b`), "already_exists", `${root}/d/b`);
      await fails(files.rename(`${root}/d`, `${root}/empty`), "already_exists", `${root}/empty`);
      await fails(files.rename(`${root}/none`, `${root}/x`), "not_found", `${root}/none`);
      await fails(files.rename(`${root}/c`, `${root}/none/x`), "not_found", `${root}/none/x`);
      expect(await files.readText(`${root}/d/b`)).toBe("a");
      expect(await files.readText(`${root}/c`)).toBe("c");
    });

    check("10 without names, a sync of the directories makes the same durable", async (given) => {
      const { files, root, powerCut } = given;
      await files.makeDirectory(`${root}/d`, { mode: 0o755 });
      await files.writeText(`${root}/d/a`, "text");
      expect(await files.readText(`${root}/d/a`)).toBe("text");
      await files.rename(`${root}/d`, `${root}/e`, { syncNames: false });
      await fails(files.rename(`${root}/d`, `${root}/f`, { syncNames: false }), "not_found", root);
      expect(await files.list(root)).toEqual(["e"]);
      await files.syncDirectory(`${root}/e`);
      await files.syncDirectory(root);
      const after = await powerCut();
      expect(await after.list(root)).toEqual(["e"]);
      expect(await after.readText(`${root}/e/a`)).toBe("text");
    });

    check("10 a power cut leaves a renamed directory one of its names", async (given) => {
      const { files, root, powerCut } = given;
      await files.ensureDirectory(`${root}/a`, { mode: 0o755 });
      await files.rename(`${root}/a`, `${root}/b`, { syncNames: false });
      expect((await (await powerCut()).list(root)).length).toBe(1);
    });

    check("10 of many renames to one target one wins", async ({ files, root }) => {
      const names = Array.from({ length: 8 }, (_, index) => `${index}`);
      for (const name of names) await files.writeText(`${root}/${name}`, name);
      const results = await Promise.allSettled(
        names.map((name) => files.rename(`${root}/${name}`, `${root}/target`)),
      );
      expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
      expect(await files.list(root)).toHaveLength(names.length);
    });

    check("10 stays within one file system", async ({ files, root, other }) => {
      await files.writeText(`${root}/a`, "a");
      await fails(files.rename(`${root}/a`, `${other}/a`), "failed_precondition", `${other}/a`);
      expect(await files.readText(`${root}/a`)).toBe("a");
      expect(await files.list(other)).toEqual([]);
    });

    check("10, 3 a rename outlives a power cut, in both directories", async (given) => {
      const { files, root, powerCut } = given;
      await files.ensureDirectory(`${root}/from`, { mode: 0o755 });
      await files.ensureDirectory(`${root}/to`, { mode: 0o755 });
      await files.writeText(`${root}/from/a`, "a");
      await files.rename(`${root}/from/a`, `${root}/to/b`);
      const after = await powerCut();
      expect(await after.list(`${root}/from`)).toEqual([]);
      expect(await after.readText(`${root}/to/b`)).toBe("a");
    });

    check("11 a synced directory keeps its entries", async ({ files, root, powerCut }) => {
      await files.makeDirectory(`${root}/a`, { mode: 0o750, uid: 5, gid: 6 });
      await files.syncDirectory(root);
      await fails(files.syncDirectory(`${root}/none`), "not_found", `${root}/none`);
      const after = await powerCut();
      expect(await after.stat(`${root}/a`)).toMatchObject({ mode: 0o750, uid: 5, gid: 6 });
    });

    check("12 sets owner and bits", async ({ files, root }) => {
      await files.writeText(`${root}/a`, "");
      for (const path of [root, `${root}/a`]) {
        await files.setOwner(path, { uid: 1, gid: 2 });
        await files.setMode(path, 0o1751);
        expect(await files.stat(path)).toMatchObject({ uid: 1, gid: 2, mode: 0o1751 });
        await files.setOwner(path, { uid: 0, gid: 0 });
      }
      const none = `${root}/none`;
      await fails(files.setMode(none, 0o755), "not_found", none);
      await fails(files.setOwner(none, { uid: 1, gid: 2 }), "not_found", none);
    });

    check("13 creates a sparse file", async ({ files, root, powerCut }) => {
      const path = `${root}/a`;
      await files.createSparse(path, 64 * MIB);
      const stat = await files.stat(path);
      expect(stat).toMatchObject({ kind: "file", sizeBytes: 64 * MIB, mode: 0o600 });
      expect(stat?.allocatedBytes).toBeLessThan(MIB);
      await fails(files.createSparse(path, 1), "already_exists", path);
      await fails(files.createSparse(`${root}/b/c`, 1), "not_found", `${root}/b/c`);
      const after = await powerCut();
      expect(await after.stat(path)).toMatchObject({ kind: "file", sizeBytes: 64 * MIB });
    });

    check("14 removes a file or an empty directory", async ({ files, root }) => {
      await files.writeText(`${root}/a`, "");
      await files.ensureDirectory(`${root}/d/e`, { mode: 0o755 });
      await files.remove(`${root}/a`);
      await fails(files.remove(`${root}/d`), "failed_precondition", `${root}/d`);
      await files.remove(`${root}/d/e`);
      await files.remove(`${root}/d`);
      await files.remove(`${root}/d`);
      await files.remove(`${root}/none/at/all`);
      expect(await files.list(root)).toEqual([]);
    });

    check("14, 3 what was removed stays removed after a power cut", async (given) => {
      const { files, root, powerCut } = given;
      await files.ensureDirectory(`${root}/d/e`, { mode: 0o755 });
      await files.writeText(`${root}/d/a`, "a");
      await files.remove(`${root}/d/a`);
      await files.remove(`${root}/d/e`);
      const after = await powerCut();
      expect(await after.list(`${root}/d`)).toEqual([]);
    });

    check("15 removes a tree", async ({ files, root, link }) => {
      await files.ensureDirectory(`${root}/outside`, { mode: 0o755 });
      await files.writeText(`${root}/outside/file`, "text");
      await files.ensureDirectory(`${root}/tree/a/b/c`, { mode: 0o755 });
      await files.ensureDirectory(`${root}/tree/-rf`, { mode: 0o0 });
      await files.writeText(`${root}/tree/a/file`, "text");
      await link(`${root}/outside`, `${root}/tree/a/link`);
      await files.removeTree(`${root}/tree`, signal);
      await files.removeTree(`${root}/tree`, signal);
      await files.removeTree(`${root}/none/at/all`, signal);
      expect(await files.list(root)).toEqual(["outside"]);
      expect(await files.readText(`${root}/outside/file`)).toBe("text");
      await files.removeTree(`${root}/outside/file`, signal);
      expect(await files.list(`${root}/outside`)).toEqual([]);
    });

    check("15 removes nothing that is mounted in the tree", async (given) => {
      const { files, root, other, bindAt } = given;
      await files.makeDirectory(`${root}/outside`, { mode: 0o755 });
      for (const source of [`${root}/outside`, other]) {
        await files.ensureDirectory(`${source}/inner`, { mode: 0o755 });
        await files.writeText(`${source}/file`, "text");
        const tree = source === other ? `${root}/tree-1` : `${root}/tree-2`;
        await files.ensureDirectory(`${tree}/a`, { mode: 0o755 });
        await bindAt(source, `${tree}/a/mounted`);
        for (const path of [tree, `${tree}/a`, `${tree}/a/mounted`]) {
          await fails(files.removeTree(path, signal), "failed_precondition", path);
        }
        expect(await files.list(source)).toEqual(["file", "inner"]);
        expect(await files.list(`${tree}/a/mounted`)).toEqual(["file", "inner"]);
      }
    });

    check("15 an abort rejects with its reason", async ({ files, root }) => {
      await files.ensureDirectory(`${root}/tree/a`, { mode: 0o755 });
      const removal = files.removeTree(`${root}/tree`, AbortSignal.abort("enough"));
      await expect(removal).rejects.toBe("enough");
      expect(await files.stat(`${root}/tree/a`)).toMatchObject({ kind: "directory" });
    });

    check("15, 3 a removed tree stays removed after a power cut", async (given) => {
      const { files, root, powerCut } = given;
      await files.ensureDirectory(`${root}/tree/a`, { mode: 0o755 });
      await files.writeText(`${root}/tree/a/file`, "text");
      await files.removeTree(`${root}/tree`, signal);
      const after = await powerCut();
      expect(await after.list(root)).toEqual([]);
    });

    check("22 removes several trees in order, up to the first that cannot go", async (given) => {
      const { files, root, other, bindAt } = given;
      const paths = ["z", "y", "none", "held", "a"].map((name) => `${root}/${name}`);
      const names = ["z", "y", "held", "a"];
      for (const name of names) {
        await files.ensureDirectory(`${root}/${name}/b/c`, { mode: 0o755 });
        await files.writeText(`${root}/${name}/b/file`, "text");
      }
      const removal = files.removeTrees(paths, AbortSignal.abort("enough"));
      await expect(removal).rejects.toBe("enough");
      expect(await files.list(root)).toEqual([...names].sort());
      await bindAt(other, `${root}/held/b/mounted`);
      await fails(files.removeTrees(paths, signal), "failed_precondition", `${root}/held`);
      expect(await files.list(root)).toEqual(["a", "held"]);
      expect(await files.list(`${root}/held`)).toEqual(["b"]);
      await files.removeTrees([`${root}/a`], signal);
      await files.removeTrees([], signal);
      expect(await files.list(root)).toEqual(["held"]);
    });

    filesCopyTests(check);
    filesMeasureTests(check);
    filesStepTests(check);
  });
}
