import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  ftruncateSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import fc from "fast-check";
import { makeNode } from "../../src/host/libc.ts";
import { setAttribute, setTime } from "./rich-tree.ts";

/** Something that happens to a tree. Paths are relative. */
export type TreeStep =
  | { readonly do: "file"; readonly path: string; readonly size: number; readonly seed: number }
  | { readonly do: "sparse"; readonly path: string; readonly mebibytes: number }
  | { readonly do: "directory" | "fifo" | "device" | "remove"; readonly path: string }
  | { readonly do: "symlink"; readonly path: string; readonly target: string }
  | { readonly do: "hard link" | "rename"; readonly path: string; readonly from: string }
  | { readonly do: "mode"; readonly path: string; readonly mode: number }
  | { readonly do: "owner"; readonly path: string; readonly uid: number; readonly gid: number }
  | { readonly do: "time"; readonly path: string; readonly seconds: number; readonly ns: number }
  /** Other content of the same size, and the time put back. */
  | { readonly do: "rewrite"; readonly path: string; readonly seed: number }
  | {
      readonly do: "attribute";
      readonly path: string;
      readonly name: string;
      readonly value: string;
    }
  | {
      readonly do: "acl";
      readonly path: string;
      readonly id: number;
      readonly handedDown: boolean;
    };

const name = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom("a", "b", "c", "d") },
  fc.constantFrom("A", "\u00e9", "e\u0301", "with space", "x".repeat(120), "-", "b\n", "\u0001"),
);
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
const seed = fc.nat(250);

/** Steps that fill or change a tree; those that are not possible are passed over. */
export const treeSteps: fc.Arbitrary<readonly TreeStep[]> = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constant("file" as const), path, size: fc.nat(2000), seed }),
    },
    fc.record({
      do: fc.constant("file" as const),
      path,
      size: fc.integer({ min: 100_000, max: 400_000 }),
      seed,
    }),
    fc.record({
      do: fc.constant("sparse" as const),
      path,
      mebibytes: fc.integer({ min: 1, max: 8 }),
    }),
    { weight: 4, arbitrary: fc.record({ do: fc.constant("directory" as const), path }) },
    fc.record({ do: fc.constantFrom("fifo" as const, "device" as const), path }),
    { weight: 3, arbitrary: fc.record({ do: fc.constant("remove" as const), path }) },
    fc.record({
      do: fc.constant("symlink" as const),
      path,
      target: fc.constantFrom("a", "/b", "../..", "c/d", "t".repeat(300)),
    }),
    {
      weight: 3,
      arbitrary: fc.record({ do: fc.constant("hard link" as const), path, from: path }),
    },
    fc.record({ do: fc.constant("rename" as const), path, from: path }),
    fc.record({ do: fc.constant("mode" as const), path, mode: fc.nat(0o7777) }),
    fc.record({
      do: fc.constant("owner" as const),
      path,
      uid: fc.constantFrom(0, 1, 1000, 3_000_000),
      gid: fc.nat(5),
    }),
    fc.record({
      do: fc.constant("time" as const),
      path,
      seconds: fc.integer({ min: -5, max: 2 ** 31 }),
      ns: fc.constantFrom(0, 1, 999_999_999),
    }),
    fc.record({ do: fc.constant("rewrite" as const), path, seed }),
    fc.record({
      do: fc.constant("attribute" as const),
      path,
      name: fc.constantFrom("user.a", "user.b", "trusted.c", "security.capability"),
      value: fc.constantFrom("", "1", "\u0000\n="),
    }),
    fc.record({ do: fc.constant("acl" as const), path, id: fc.nat(9), handedDown: fc.boolean() }),
  ),
  { minLength: 1, maxLength: 40 },
);

/**
 * Does the steps in the tree at `root`.
 *
 * @param copied It is a copy: what is rewritten there keeps its time only when that is a whole second (`LayerTar`, contract 12).
 */
export function takeSteps(root: string, steps: readonly TreeStep[], copied = false): void {
  for (const step of steps) {
    try {
      take(root, step, copied);
    } catch (thrown) {
      // What is not there, or no directory, or what it would be moved into.
      if (
        !/ENOENT|ENOTDIR|EEXIST|EINVAL|EPERM|EISDIR|EXDEV|ELOOP|ENOTEMPTY|errno/.test(
          String(thrown),
        )
      )
        throw thrown;
    }
  }
}

function take(root: string, step: TreeStep, copied: boolean): void {
  const at = `${root}/${step.path}`;
  const fresh = (): void => {
    checkWay(root, at);
    rmSync(at, { recursive: true, force: true });
  };
  const there = () => {
    checkWay(root, at);
    return lstatSync(at, { bigint: true });
  };
  switch (step.do) {
    case "file":
      fresh();
      writeFileSync(at, Buffer.alloc(step.size, step.seed + 1));
      return;
    case "sparse": {
      fresh();
      const fd = openSync(at, "w");
      writeSync(fd, "begin", 0);
      writeSync(fd, "middle", step.mebibytes * 500_000);
      ftruncateSync(fd, step.mebibytes * 1024 ** 2);
      closeSync(fd);
      return;
    }
    case "directory":
      if (existsSync(at) && there().isDirectory()) return;
      fresh();
      mkdirSync(at);
      return;
    case "fifo":
      fresh();
      makeNode(at, constants.S_IFIFO | 0o640, 0);
      return;
    case "device":
      fresh();
      makeNode(at, constants.S_IFCHR | 0o600, (1 << 8) | 3);
      return;
    case "symlink":
      fresh();
      symlinkSync(step.target, at);
      return;
    case "remove":
      fresh();
      return;
    case "hard link": {
      const from = `${root}/${step.from}`;
      checkWay(root, from);
      if (lstatSync(from).isDirectory() || at === from || `${from}/`.startsWith(`${at}/`)) return;
      fresh();
      linkSync(from, at);
      return;
    }
    case "rename": {
      const from = `${root}/${step.from}`;
      checkWay(root, from);
      if (`${at}/`.startsWith(`${from}/`) || `${from}/`.startsWith(`${at}/`)) return;
      lstatSync(from);
      fresh();
      renameSync(from, at);
      return;
    }
    case "mode":
      if (!there().isSymbolicLink()) chmodSync(at, step.mode);
      return;
    case "owner":
      there();
      lchownSync(at, step.uid, step.gid);
      return;
    case "time":
      there();
      setTime(at, BigInt(step.seconds), BigInt(step.ns));
      return;
    case "rewrite": {
      const stats = there();
      if (!stats.isFile()) return;
      writeFileSync(at, Buffer.alloc(Math.min(Number(stats.size), 500_000), step.seed + 2));
      const seconds = stats.mtimeNs / 1_000_000_000n;
      const rest = stats.mtimeNs % 1_000_000_000n;
      if (copied && rest !== 0n) return;
      setTime(at, rest < 0n ? seconds - 1n : seconds, rest < 0n ? rest + 1_000_000_000n : rest);
      return;
    }
    case "attribute":
      there();
      setAttribute(
        at,
        step.name,
        step.name === "security.capability"
          ? Buffer.from("0100000200040000000000000000000000000000", "hex")
          : Buffer.from(step.value),
      );
      return;
    case "acl": {
      const stats = there();
      if (stats.isSymbolicLink()) return;
      const handedDown = step.handedDown && stats.isDirectory();
      setAttribute(at, `system.posix_acl_${handedDown ? "default" : "access"}`, acl(step.id));
    }
  }
}

/** No way leads through a symbolic link: out of the tree, maybe. */
function checkWay(root: string, at: string): void {
  for (let end = at.indexOf("/", root.length + 1); end > 0; end = at.indexOf("/", end + 1)) {
    if (!lstatSync(at.slice(0, end)).isDirectory()) throw new Error("ENOTDIR");
  }
}

/** As the kernel keeps it (linux/posix_acl_xattr.h): owner, one user, group, mask, others. */
function acl(id: number): Buffer {
  const out = Buffer.alloc(44);
  out.writeUInt32LE(2, 0);
  const entries = [
    [1, 7, 0xffffffff],
    [2, 5, id],
    [4, 4, 0xffffffff],
    [16, 5, 0xffffffff],
    [32, 0, 0xffffffff],
  ] as const;
  entries.forEach(([tag, permissions, who], index) => {
    out.writeUInt16LE(tag, 4 + index * 8);
    out.writeUInt16LE(permissions, 6 + index * 8);
    out.writeUInt32LE(who, 8 + index * 8);
  });
  return out;
}
