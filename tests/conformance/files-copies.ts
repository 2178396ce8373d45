import { expect } from "vitest";
import type { FilesGiven } from "./files.ts";

const { signal } = new AbortController();
const MIB: number = 1024 ** 2;

/** Sentence 16 of `Files`, as far as a simulated machine has it too; what a real tree can hold is tried with the drivers. */
export function filesCopyTests(
  check: (title: string, body: (given: FilesGiven) => Promise<void>) => void,
): void {
  check("16 copies a tree, and follows no link in it", async ({ files, root, link }) => {
    await makeTree(files, `${root}/tree`);
    await files.ensureDirectory(`${root}/outside`, { mode: 0o755 });
    await files.writeText(`${root}/outside/file`, "not ours");
    await link(`${root}/outside`, `${root}/tree/a/link`);
    await files.copyTree(`${root}/tree`, `${root}/copy`, signal);
    expect(await files.stat(`${root}/copy`)).toMatchObject({ uid: 3, gid: 4, mode: 0o2750 });
    expect(await files.stat(`${root}/copy/a`)).toMatchObject({ uid: 0, mode: 0o700 });
    expect(await files.stat(`${root}/copy/a/link`)).toMatchObject({ kind: "symlink" });
    expect(await files.list(`${root}/copy`)).toEqual(["a", "empty", "file"]);
    expect(await files.readText(`${root}/copy/a/file`)).toBe("inner");
    await files.writeText(`${root}/copy/file`, "changed");
    expect(await files.readText(`${root}/tree/file`)).toBe("outer");
  });

  check("18 makes an empty directory with another's owner and mode", async ({ files, root }) => {
    await makeTree(files, `${root}/tree`);
    await files.makeDirectoryLike(`${root}/like`, `${root}/tree`);
    expect(await files.stat(`${root}/like`)).toMatchObject({
      ...{ kind: "directory", uid: 3, gid: 4, mode: 0o2750 },
    });
    expect(await files.list(`${root}/like`)).toEqual([]);
    const refused = (path: string, model: string): Promise<void> =>
      files.makeDirectoryLike(`${root}/${path}`, `${root}/${model}`);
    await expect(refused("like", "tree")).rejects.toMatchObject({ code: "already_exists" });
    await expect(refused("new", "none")).rejects.toMatchObject({ code: "not_found" });
    await expect(refused("none/new", "tree")).rejects.toMatchObject({ code: "not_found" });
    await expect(refused("new", "tree/file")).rejects.toMatchObject({ code: "invalid_argument" });
  });

  check("21 tells whether a directory is as it was made like another", async ({ files, root }) => {
    await makeTree(files, `${root}/tree`);
    const fresh = async (name: string): Promise<string> => {
      await files.makeDirectoryLike(`${root}/${name}`, `${root}/tree`);
      return `${root}/${name}`;
    };
    const untouched = (path: string) => files.isUntouchedLike(path, `${root}/tree`);
    expect(await untouched(await fresh("same"))).toBe(true);
    const [full, owned, opened] = [
      await fresh("full"),
      await fresh("owned"),
      await fresh("opened"),
    ];
    await files.makeDirectory(`${full}/in`, { mode: 0o755 });
    await files.setOwner(owned, { uid: 3, gid: 5 });
    await files.setMode(opened, 0o2751);
    for (const path of [full, owned, opened]) expect(await untouched(path), path).toBe(false);
    await expect(untouched(`${root}/none`)).rejects.toMatchObject({ code: "not_found" });
    await expect(files.isUntouchedLike(full, `${root}/none`)).rejects.toMatchObject({
      code: "not_found",
    });
  });

  check("16 copies no hole as bytes", async ({ files, root }) => {
    await files.ensureDirectory(`${root}/tree`, { mode: 0o755 });
    await files.createSparse(`${root}/tree/sparse`, 64 * MIB);
    await files.copyTree(`${root}/tree`, `${root}/copy`, signal);
    const stat = await files.stat(`${root}/copy/sparse`);
    expect(stat).toMatchObject({ kind: "file", sizeBytes: 64 * MIB });
    expect(stat?.allocatedBytes).toBeLessThan(MIB);
  });

  check("16 needs a directory, and a target that is absent", async ({ files, root }) => {
    await makeTree(files, `${root}/tree`);
    const refused = (from: string, to: string, code: string): Promise<void> =>
      expect(files.copyTree(`${root}/${from}`, `${root}/${to}`, signal)).rejects.toMatchObject({
        code,
        message: expect.stringContaining(root),
      });
    await refused("none", "copy", "not_found");
    await refused("tree/file", "copy", "invalid_argument");
    await refused("tree", "none/copy", "not_found");
    await refused("tree/a", "tree/empty", "already_exists");
    await refused("tree/a", "tree/file", "already_exists");
    expect(await files.list(root)).toEqual(["tree"]);
  });

  check("16 copies nothing that is mounted in the tree", async (given) => {
    const { files, root, other, bindAt } = given;
    await makeTree(files, `${root}/tree`);
    await files.ensureDirectory(`${root}/outside`, { mode: 0o755 });
    for (const source of [`${root}/outside`, other]) {
      await files.writeText(`${source}/file`, "not ours");
      await bindAt(source, `${root}/tree/on-${source === other ? "other" : "same"}`);
    }
    await files.copyTree(`${root}/tree`, `${root}/copy`, signal);
    expect(await files.list(`${root}/copy`)).toEqual(["a", "empty", "file", "on-other", "on-same"]);
    expect(await files.list(`${root}/copy/on-other`)).toEqual([]);
    expect(await files.list(`${root}/copy/on-same`)).toEqual([]);
  });

  check("16 says when there is no room, or no writing", async (given) => {
    const { files, root, small, readOnly } = given;
    await files.ensureDirectory(`${root}/tree`, { mode: 0o755 });
    await files.writeText(`${root}/tree/file`, "x".repeat(2 * MIB));
    const full = files.copyTree(`${root}/tree`, `${small}/copy`, signal);
    await expect(full).rejects.toMatchObject({ code: "resource_exhausted" });
    const fixed = files.copyTree(`${root}/tree`, `${readOnly}/copy`, signal);
    await expect(fixed).rejects.toMatchObject({ code: "failed_precondition" });
  });

  check("16 an abort rejects with its reason", async ({ files, root }) => {
    await makeTree(files, `${root}/tree`);
    const early = files.copyTree(`${root}/tree`, `${root}/copy`, AbortSignal.abort("enough"));
    await expect(early).rejects.toBe("enough");
    expect(await files.list(root)).toEqual(["tree"]);
  });

  check("16, 3 a copy outlives a power cut", async ({ files, root, powerCut }) => {
    await makeTree(files, `${root}/tree`);
    await files.syncDirectory(root);
    await files.copyTree(`${root}/tree`, `${root}/copy`, signal);
    const after = await powerCut();
    expect(await after.list(`${root}/copy`)).toEqual(["a", "empty", "file"]);
    expect(await after.readText(`${root}/copy/a/file`)).toBe("inner");
    expect(await after.stat(`${root}/copy`)).toMatchObject({ uid: 3, gid: 4, mode: 0o2750 });
  });
}

/** Sentence 17. */
export function filesMeasureTests(
  check: (title: string, body: (given: FilesGiven) => Promise<void>) => void,
): void {
  check("17 counts what is allocated, and not what is mounted in the tree", async (given) => {
    const { files, root, other, bindAt, readOnly } = given;
    await files.ensureDirectory(`${root}/tree/inner`, { mode: 0o755 });
    const empty = await files.measureTree(`${root}/tree`, signal);
    await files.writeText(`${root}/tree/inner/text`, "x".repeat(3 * MIB));
    await files.createSparse(`${root}/tree/sparse`, 64 * MIB);
    await files.writeText(`${other}/text`, "x".repeat(2 * MIB));
    await bindAt(other, `${root}/tree/on-other`);
    for (const path of [`${root}/tree`, `${readOnly}/tree`]) {
      const { allocatedBytes, sharedBytes } = await files.measureTree(path, signal);
      expect(allocatedBytes - empty.allocatedBytes).toBeGreaterThanOrEqual(3 * MIB);
      expect(allocatedBytes - empty.allocatedBytes).toBeLessThan(4 * MIB);
      expect(sharedBytes).toBe(0);
    }
    // The directory that something is mounted on is not of the tree either: what it holds is the other's.
    const after = await files.measureTree(`${root}/tree`, signal);
    expect(after.entries - empty.entries).toBe(2);
  });

  check("17 tells the bytes that a copy shares, when it shares them", async ({ files, root }) => {
    await files.ensureDirectory(`${root}/tree`, { mode: 0o755 });
    await files.writeText(`${root}/tree/text`, "x".repeat(3 * MIB));
    await files.copyTree(`${root}/tree`, `${root}/copy`, signal);
    const tree = await files.measureTree(`${root}/tree`, signal);
    const copy = await files.measureTree(`${root}/copy`, signal);
    expect(copy.sharedBytes).toBe(tree.sharedBytes);
    expect([0, 3 * MIB]).toContain(copy.sharedBytes);
    await files.removeTree(`${root}/copy`, signal);
    // XFS frees what a removed file had in its own time.
    const left = async (): Promise<number> =>
      (await files.measureTree(`${root}/tree`, signal)).sharedBytes;
    await expect.poll(left, { timeout: 20_000 }).toBe(0);
  });

  check("17 needs a directory, and ends at an abort", async ({ files, root }) => {
    await files.writeText(`${root}/file`, "text");
    const none = files.measureTree(`${root}/none`, signal);
    await expect(none).rejects.toMatchObject({ code: "not_found" });
    const file = files.measureTree(`${root}/file`, signal);
    await expect(file).rejects.toMatchObject({ code: "invalid_argument" });
    await expect(files.measureTree(root, AbortSignal.abort("enough"))).rejects.toBe("enough");
  });
}

async function makeTree(files: FilesGiven["files"], path: string): Promise<void> {
  await files.ensureDirectory(path, { mode: 0o755 });
  await files.ensureDirectory(`${path}/a`, { mode: 0o700 });
  await files.ensureDirectory(`${path}/empty`, { mode: 0o755 });
  await files.writeText(`${path}/a/file`, "inner");
  await files.writeText(`${path}/file`, "outer");
  await files.setOwner(path, { uid: 3, gid: 4 });
  await files.setMode(path, 0o2750);
}

/** Sentences 19, 20 and 24. */
export function filesStepTests(
  check: (title: string, body: (given: FilesGiven) => Promise<void>) => void,
): void {
  check(
    "19 steps are done in order, and end with the first that fails",
    async ({ files, root }) => {
      await files.makeDirectory(`${root}/model`, { mode: 0o2751, uid: 7, gid: 8 });
      const mode = 0o4711;
      await files.perform([
        { do: "makeDirectory", path: `${root}/a`, mode, uid: 5, gid: 6 },
        { do: "makeDirectoryLike", path: `${root}/a/b`, model: `${root}/model` },
        { do: "writeNote", path: `${root}/a/text`, text: "one", fresh: true },
        { do: "writeNote", path: `${root}/a/text`, text: "two" },
        { do: "setOwner", path: `${root}/model`, uid: 9, gid: 10, mode: 0o6755 },
        { do: "rename", from: `${root}/a`, to: `${root}/c` },
      ]);
      expect(await files.stat(`${root}/c`)).toMatchObject({ mode, uid: 5, gid: 6 });
      expect(await files.stat(`${root}/model`)).toMatchObject({ mode: 0o6755, uid: 9, gid: 10 });
      expect(await files.stat(`${root}/c/b`)).toMatchObject({ mode: 0o2751, uid: 7, gid: 8 });
      expect(await files.readNotes([`${root}/c/text`])).toEqual(["two"]);
      expect(await files.list(`${root}/c`)).toEqual(["b", "text"]);
      const failing = files.perform([
        { do: "makeDirectory", path: `${root}/d`, mode: 0o700 },
        { do: "rename", from: `${root}/model`, to: `${root}/c` },
        { do: "makeDirectory", path: `${root}/e`, mode: 0o700 },
      ]);
      await expect(failing).rejects.toMatchObject({ code: "already_exists" });
      expect(await files.list(root)).toEqual(["c", "d", "model"]);
      const text = { do: "writeNote", path: `${root}/c/text`, text: "three", fresh: true } as const;
      await expect(files.perform([text])).rejects.toMatchObject({ code: "already_exists" });
      expect(await files.readNotes([`${root}/c/text`])).toEqual(["two"]);
      const absent = files.perform([{ do: "rename", from: `${root}/none`, to: `${root}/f` }]);
      await expect(absent).rejects.toMatchObject({ code: "not_found" });
    },
  );

  check("24 a directory that is watched is unchanged until it is not", async ({ files, root }) => {
    const watched = async (name: string): Promise<string> => {
      const path = `${root}/${name}`;
      await files.perform([
        { do: "makeDirectory", path, mode: 0o755 },
        { do: "watch", path },
      ]);
      expect(files.isUnchanged(path)).toBe(true);
      return path;
    };
    const [quiet, full, owned] = [await watched("a"), await watched("b"), await watched("c")];
    await files.makeDirectory(`${full}/in`, { mode: 0o755 });
    expect(files.isUnchanged(full)).toBe(false);
    await files.setOwner(owned, { uid: 3, gid: 5 });
    expect(files.isUnchanged(owned)).toBe(false);
    // What became of the others says nothing of this one.
    expect(files.isUnchanged(quiet)).toBe(true);
    await files.remove(quiet);
    for (const path of [quiet, `${root}/none`, `${full}/in`]) {
      expect(files.isUnchanged(path), path).toBe(false);
    }
    await files.perform([{ do: "watch", path: `${root}/none` }]);
    expect(files.isUnchanged(`${root}/none`)).toBe(false);
  });

  check("20 what was done is there after a power cut, for all who asked at once", async (given) => {
    const { files, root, powerCut } = given;
    const names = ["a", "b", "c"];
    await Promise.all(
      names.map(async (name) => {
        await files.perform([
          { do: "makeDirectory", path: `${root}/${name}`, mode: 0o755 },
          { do: "writeNote", path: `${root}/${name}/text`, text: name },
        ]);
        await files.syncFileSystem(root);
      }),
    );
    const next = await powerCut();
    expect(await next.readNotes(names.map((name) => `${root}/${name}/text`))).toEqual(names);
  });
}
