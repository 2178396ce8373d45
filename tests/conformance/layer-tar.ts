import {
  chmodSync,
  existsSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { expect, it } from "vitest";
import type { LayerChange, LayerTar, LayerTarLimits } from "../../src/core/ports/layer-tar.ts";
import { collect, streamOf } from "./archive.ts";
import { layerAttacks } from "./layer-tar-attacks.ts";
import { describeTree, setAttribute, setTime } from "./rich-tree.ts";
import { archive, END, entry, type Header } from "./tar-by-hand.ts";

/** A layer port, and trees for it on one file system. */
export interface LayerTarGiven {
  readonly layers: LayerTar;
  /** An empty tree on which children can stand. */
  readonly tree: () => string;
  /** A writable tree with the content of another. */
  readonly child: (parent: string) => string;
  /** A file outside of every tree, with the text "alive", which nothing may touch. */
  readonly canary: string;
}

const ALL: LayerTarLimits = { tarBytes: null };
const DIRECTORY = { type: "5", mode: 0o755 } as const;

/** Holds a form of `LayerTar` to its numbered sentences. @param within Gives trees to a test, and takes them away after it. */
export function layerTarConformance(
  within: (body: (given: LayerTarGiven) => Promise<void>) => Promise<void>,
): void {
  const { signal } = new AbortController();
  const check = (title: string, body: (given: LayerTarGiven) => Promise<void>): void => {
    it(title, () => within(body));
  };
  const put = (given: LayerTarGiven, root: string, ...parts: readonly (Header | Buffer)[]) =>
    given.layers.apply(root, streamOf(archive(...parts)), ALL, signal);
  const changesOf = async ({ layers }: LayerTarGiven, root: string, parent: string | null) => {
    const found: string[] = [];
    for await (const { kind, path } of layers.changes(root, parent, signal)) {
      found.push(`${kind} ${path}`);
    }
    return found;
  };
  /** A parent with some files, and a child of it. */
  const pair = (given: LayerTarGiven) => {
    const parent = given.tree();
    mkdirSync(`${parent}/d/deep`, { recursive: true });
    for (const name of ["a", "d/b", "d/deep/c", "keep"]) writeFileSync(`${parent}/${name}`, name);
    return { parent, child: given.child(parent) };
  };

  check("2 an abort rejects with its reason", async (given) => {
    const { child, parent } = pair(given);
    const stop = new AbortController();
    const endless = (async function* () {
      for (;;) {
        yield entry({ name: "x", content: "x".repeat(5000) });
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    const applied = given.layers.apply(child, endless, ALL, stop.signal);
    setTimeout(() => stop.abort(new Error("enough")), 20);
    await expect(applied).rejects.toThrow("enough");
    expect((await endless.next()).done).toBe(true);
    const silent = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) };
    const later = new AbortController();
    setTimeout(() => later.abort(new Error("enough")), 20);
    await expect(given.layers.apply(child, silent, ALL, later.signal)).rejects.toThrow("enough");
    const read = given.layers.diff(child, parent, AbortSignal.abort(new Error("before")));
    await expect(collect(read)).rejects.toThrow("before");
  });

  check("3 a root that is absent, or no directory", async (given) => {
    const { child } = pair(given);
    for (const [root, code] of [
      [`${child}/absent`, "not_found"],
      [`${child}/a`, "invalid_argument"],
    ] as const) {
      await expect(put(given, root, { name: "x" })).rejects.toMatchObject({ code });
      const read = given.layers.diff(root, null, signal);
      await expect(collect(read)).rejects.toMatchObject({ code });
      await expect(changesOf(given, child, root)).rejects.toMatchObject({ code });
    }
  });

  check("4 what a directory hands down is not taken", async (given) => {
    const { child } = pair(given);
    const acl = Buffer.from(
      "0200000001000700ffffffff02000500e803000004000500ffffffff10000700ffffffff20000500ffffffff",
      "hex",
    );
    setAttribute(`${child}/d`, "system.posix_acl_default", acl);
    lchownSync(`${child}/d`, 7, 8);
    chmodSync(`${child}/d`, 0o2775);
    await put(
      given,
      child,
      { name: "d/file", content: "x", mode: 0o640 },
      { name: "d/sub/", ...DIRECTORY },
      { name: "d/implied/file", mode: 0o600 },
      { name: "d/fifo", type: "6", mode: 0o620 },
    );
    const facts = describeTree(`${child}/d`).join("\n");
    expect(facts).toMatch(/^\.\/file 100640 0 0 .* {2}$/m);
    expect(facts).toMatch(/^\.\/sub 40755 0 0 .* {3}$/m);
    expect(facts).toMatch(/^\.\/implied 40755 0 0 .* {3}$/m);
    expect(facts).toMatch(/^\.\/implied\/file 100600 0 0 .* {2}$/m);
    expect(facts).toMatch(/^\.\/fifo 10620 0 0 .* {2}$/m);
  });

  check("4 an entry of a directory that is there says all of it", async (given) => {
    const { child } = pair(given);
    setAttribute(`${child}/d`, "user.old", Buffer.from("x"));
    await put(given, child, {
      ...{ name: "d", ...DIRECTORY, mode: 0o1700, uid: 5 },
      pax: { "SCHILY.xattr.user.new": "y", mtime: "12.5" },
    });
    expect(describeTree(`${child}/d`)[0]).toBe(". 41700 5 0 12500000000 0   false   user.new=79");
    expect(readFileSync(`${child}/d/b`, "utf8")).toBe("d/b");
  });

  check(
    "4 attributes of overlay and of the host's security modules are left out",
    async (given) => {
      const { child } = pair(given);
      await put(given, child, {
        ...{ name: "x", ...DIRECTORY },
        pax: {
          "SCHILY.xattr.trusted.overlay.redirect": "/d",
          "SCHILY.xattr.trusted.overlay.opaque": "y",
          "SCHILY.xattr.user.overlay.opaque": "y",
          "SCHILY.xattr.security.selinux": "label",
          "SCHILY.acl.access": "user:somebody:rwx",
          "SCHILY.xattr.user.with%3Dsign": "kept",
        },
      });
      expect(describeTree(`${child}/x`)[0]).toMatch(/ {3}user\.with=sign=6b657074$/);
    },
  );

  check("5 a whiteout removes what was there, whatever it is", async (given) => {
    const { child } = pair(given);
    const applied = await put(
      given,
      child,
      { name: ".wh.a" },
      { name: ".wh.d" },
      { name: "d/.wh.no" },
    );
    expect(readdirSync(child).sort()).toEqual(["d", "keep"]);
    expect(readdirSync(`${child}/d`)).toEqual([]);
    expect(applied).toEqual({ sizeBytes: 0, entries: 3 });
  });

  check("5 whiteouts take nothing of their own layer, in any order", async (given) => {
    const wanted = ["./a", "./d", "./d/deep", "./d/deep/mine", "./d/mine", "./keep"];
    const parts: readonly Header[] = [
      { name: "d/", ...DIRECTORY },
      { name: "d/mine", content: "m" },
      { name: "d/deep/mine", content: "m" },
      { name: "a", content: "new" },
      { name: ".wh.a" },
    ];
    for (const whiteout of [{ name: ".wh.d" }, { name: "d/.wh..wh..opq" }]) {
      for (const order of [
        [whiteout, ...parts],
        [...parts, whiteout],
        [...parts].reverse().concat(whiteout),
      ]) {
        const { child } = pair(given);
        await put(given, child, ...order);
        const lines = describeTree(child);
        expect(lines.map((line) => line.split(" ")[0]).slice(1)).toEqual(wanted);
        expect(lines.find((line) => line.startsWith("./d/deep "))).toMatch(/ 40755 0 0 /);
        expect(readFileSync(`${child}/a`, "utf8")).toBe("new");
      }
    }
  });

  check("5 a whiteout meets an entry that came by another way", async (given) => {
    const { child } = pair(given);
    symlinkSync("d", `${child}/way`);
    await put(given, child, { name: "way/new", content: "n" }, { name: "d/.wh..wh..opq" });
    expect(readdirSync(`${child}/d`)).toEqual(["new"]);
  });

  check("5 an opaque root, and names that AUFS had for itself", async (given) => {
    const { child } = pair(given);
    await put(
      given,
      child,
      { name: "new", content: "n" },
      { name: ".wh..wh..opq" },
      { name: ".wh..wh.plnk/", ...DIRECTORY },
      { name: ".wh..wh.plnk/1.2", content: "passed over" },
      { name: ".wh..wh.aufs" },
    );
    expect(readdirSync(child)).toEqual(["new"]);
  });

  check("5 opaque twice, with entries between", async (given) => {
    const { child } = pair(given);
    const opaque = { name: "d/.wh..wh..opq" };
    await put(given, child, opaque, { name: "d/one" }, opaque, { name: "d/two/in" }, opaque);
    expect(readdirSync(`${child}/d`).sort()).toEqual(["one", "two"]);
    await put(given, child, { name: "d/three" }, opaque);
    expect(readdirSync(`${child}/d`)).toEqual(["three"]);
  });

  check("6 anything replaces anything", async (given) => {
    const kinds: readonly Header[] = [
      { name: "x", content: "file" },
      { name: "x", ...DIRECTORY },
      { name: "x", type: "2", link: "/nowhere" },
      { name: "x", type: "6" },
      { name: "x", type: "1", link: "keep" },
      { name: "x", type: "3", major: 1, minor: 3 },
    ];
    const all = kinds.flatMap((before, b) =>
      kinds.map((after, a) => ({ name: `x${b}${a}`, before, after })),
    );
    const { child } = pair(given);
    await put(given, child, ...all.map(({ name, before }) => ({ ...before, name })));
    const directories = all.filter(({ before }) => before.type === "5");
    await put(
      given,
      child,
      ...directories.map(({ name }) => ({ name: `${name}/in`, content: "" })),
    );
    await put(given, child, ...all.map(({ name, after }) => ({ ...after, name })));
    const alone = pair(given).child;
    await put(given, alone, ...all.map(({ name, after }) => ({ ...after, name })));
    for (const { name, before, after } of all) {
      if (before.type === "5" && after.type === "5") rmSync(`${child}/${name}/in`);
    }
    const facts = (root: string) =>
      describeTree(root)
        .filter((line) => line.startsWith("./x"))
        // Of the file of the parent that hard links lead to, and of directories that were changed since.
        .map((line) => line.replace(/ \d{19} /, " "));
    expect(facts(child)).toEqual(facts(alone));
  });

  check("6 of two entries with one name the later stays", async (given) => {
    const root = given.child(given.tree());
    await put(
      given,
      root,
      { name: "x", content: "one" },
      { name: "./x", content: "two" },
      { name: "y/", ...DIRECTORY },
      { name: "y/z", content: "z" },
      { name: "y", content: "file" },
      { name: "X", content: "another" },
      { name: "\u00e9", content: "composed" },
      { name: "e\u0301", content: "decomposed" },
    );
    expect(readdirSync(root).sort()).toEqual(["X", "e\u0301", "x", "y", "\u00e9"].sort());
    expect(readFileSync(`${root}/x`, "utf8")).toBe("two");
    expect(readFileSync(`${root}/y`, "utf8")).toBe("file");
    expect(readFileSync(`${root}/\u00e9`, "utf8")).toBe("composed");
  });

  check(
    "6, 9 a directory may replace a file of the parent, not one of the layer",
    async (given) => {
      const { child } = pair(given);
      await put(given, child, { name: "a/in", content: "x" });
      expect(readdirSync(`${child}/a`)).toEqual(["in"]);
      const other = pair(given).child;
      await expect(put(given, other, { name: "f" }, { name: "f/in" })).rejects.toMatchObject({
        code: "invalid_argument",
        message: expect.stringContaining('"f", which is a file of the layer'),
      });
    },
  );

  check("7 times of directories are right at the end", async (given) => {
    const { child } = pair(given);
    setTime(`${child}/d`, 1_000n, 7n);
    setTime(child, 2_000n, 9n);
    await put(
      given,
      child,
      { name: "made/", ...DIRECTORY, mtime: 77 },
      { name: "made/in/", ...DIRECTORY, mtime: 78 },
      { name: "made/in/file", content: "x" },
      { name: "d/new", content: "x" },
      { name: "made/file", content: "x" },
    );
    const timeOf = (path: string) => lstatSync(path, { bigint: true }).mtimeNs;
    expect(timeOf(`${child}/made`)).toBe(77_000_000_000n);
    expect(timeOf(`${child}/made/in`)).toBe(78_000_000_000n);
    expect(timeOf(`${child}/d`)).toBe(1_000_000_000_007n);
    expect(timeOf(child)).toBe(2_000_000_000_009n);
  });

  check("7 a hard link may lead to a file of the parent", async (given) => {
    const { child, parent } = pair(given);
    await put(given, child, { name: "d/link", type: "1", link: "/a" });
    expect(lstatSync(`${child}/d/link`).ino).toBe(lstatSync(`${child}/a`).ino);
    expect(readFileSync(`${child}/d/link`, "utf8")).toBe("a");
    expect(lstatSync(`${parent}/a`).nlink).toBe(1);
  });

  check("8 symbolic links on the way are followed inside the root", async (given) => {
    const { child } = pair(given);
    symlinkSync("/d/deep", `${child}/absolute`);
    symlinkSync("../../../../d", `${child}/d/up`);
    await put(
      given,
      child,
      { name: "absolute/one", content: "1" },
      { name: "/d/up/two", content: "2" },
      { name: "d/../three", content: "3" },
      { name: "s", type: "2", link: "d/deep" },
      { name: "s/four", content: "4" },
      { name: "h", type: "1", link: "s/four" },
    );
    expect(readFileSync(`${child}/d/deep/one`, "utf8")).toBe("1");
    expect(readFileSync(`${child}/d/two`, "utf8")).toBe("2");
    expect(readFileSync(`${child}/three`, "utf8")).toBe("3");
    expect(readFileSync(`${child}/d/deep/four`, "utf8")).toBe("4");
    expect(readFileSync(`${child}/h`, "utf8")).toBe("4");
    expect(readlinkSync(`${child}/s`)).toBe("d/deep");
  });

  check("10 layers without an end mark, and none at all", async (given) => {
    const { child } = pair(given);
    const whole = entry({ name: "x", content: "whole" });
    for (const bytes of [
      whole,
      Buffer.concat([whole, END.subarray(0, 512)]),
      Buffer.alloc(0),
      END,
    ]) {
      await given.layers.apply(child, streamOf(bytes, 7), ALL, signal);
    }
    expect(readFileSync(`${child}/x`, "utf8")).toBe("whole");
  });

  check("8-10 attacks fail with their name, in time, and touch nothing outside", async (given) => {
    const child = given.child(given.tree());
    for (const [title, { tar, code, names, limits = ALL }] of Object.entries(
      layerAttacks(given.canary),
    )) {
      await put(given, child, { name: ".wh..wh..opq" });
      const applied = given.layers.apply(child, tar(), limits, AbortSignal.timeout(30_000));
      await expect(applied, title).rejects.toMatchObject({
        name: "Failure",
        code,
        message: expect.stringContaining(names),
      });
      expect(readFileSync(given.canary, "utf8"), title).toBe("alive");
    }
  });

  check("11 sockets are left out", async (given) => {
    const { parent, child } = pair(given);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(`${child}/socket`, resolve));
    try {
      expect(await changesOf(given, child, parent)).toEqual([]);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });

  check("11 hard links lead to files of the layer alone", async (given) => {
    const { parent } = pair(given);
    mkdirSync(`${parent}/0`);
    const child = given.child(parent);
    await put(given, child, { name: "z", type: "1", link: "a" });
    const layer = given.child(given.tree());
    // Applied to nothing: every link has what it leads to.
    await given.layers.apply(layer, given.layers.diff(child, parent, signal), ALL, signal);
    expect(lstatSync(`${layer}/a`).ino).toBe(lstatSync(`${layer}/z`).ino);
    expect(readdirSync(layer).sort()).toEqual(["a", "z"]);
  });

  check("12 what was rewritten to its size, and its time put back", async (given) => {
    const parent = given.tree();
    for (const name of ["a", "b"]) {
      writeFileSync(`${parent}/${name}`, "before");
      setTime(`${parent}/${name}`, 1000n, 0n);
    }
    setTime(parent, 1000n, 0n);
    const child = given.child(parent);
    writeFileSync(`${child}/a`, "behind");
    setTime(`${child}/a`, 1000n, 0n);
    expect(await changesOf(given, child, parent)).toEqual(["modified a"]);
  });

  check("13 two layers of the same trees are equal, and in order", async (given) => {
    const { parent, child } = pair(given);
    writeFileSync(`${child}/d/new`, "n".repeat(300_000));
    rmSync(`${child}/a`);
    const one = await collect(given.layers.diff(child, parent, signal));
    expect(one.equals(await collect(given.layers.diff(child, parent, signal)))).toBe(true);
    expect(await changesOf(given, child, parent)).toEqual([
      "removed a",
      "modified d",
      "added d/new",
    ]);
  });

  check("13 a name that is a whiteout's is refused", async (given) => {
    const { parent, child } = pair(given);
    writeFileSync(`${child}/.wh.x`, "");
    await expect(collect(given.layers.diff(child, parent, signal))).rejects.toMatchObject({
      code: "failed_precondition",
      message: expect.stringContaining('".wh.x"'),
    });
  });

  check("15 the kinds of changes", async (given) => {
    const { parent, child } = pair(given);
    rmSync(`${child}/d/deep`, { recursive: true });
    mkdirSync(`${child}/new/in`, { recursive: true });
    rmSync(`${child}/a`);
    mkdirSync(`${child}/a`);
    writeFileSync(`${child}/a/\u00e9%\u0001`, "");
    chmodSync(`${child}/keep`, 0o600);
    expect(await changesOf(given, child, parent)).toEqual([
      "modified a",
      "added a/\u00e9%25\u0001",
      "modified d",
      "removed d/deep",
      "modified keep",
      "added new",
      "added new/in",
    ] satisfies `${LayerChange["kind"]} ${string}`[]);
    expect(await changesOf(given, child, child)).toEqual([]);
    expect(existsSync(`${child}/keep`)).toBe(true);
  });
}
