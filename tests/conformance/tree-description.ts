import { execFile } from "node:child_process";
import { type BigIntStats, constants as fs } from "node:fs";
import { lstat, readdir, readlink } from "node:fs/promises";
import { promisify } from "node:util";
import { digestOf } from "./tree-sample.ts";

const run = promisify(execFile);
/** From this size on, it counts whether a file has holes. */
const SPARSE_FROM_BYTES = 16 * 1024 ** 2;
const OUTPUT_LIMIT_BYTES = 64 * 1024 ** 2;

/** All that is to be seen of a tree: equal for two trees when one is a whole copy of the other. */
export interface TreeDescription {
  /** Path, bytes as Latin-1 → what is there. */
  readonly entries: Readonly<Record<string, string>>;
  /** Paths that are one file, of files with several. */
  readonly linked: readonly (readonly string[])[];
  /** What getfattr tells of each path that has attributes or access control lists. */
  readonly attributes: readonly string[];
}

/** Looks at every entry of the tree at `root`, and changes nothing but times of access. */
export async function describeTree(root: string): Promise<TreeDescription> {
  const entries: Record<string, string> = {};
  const names = new Map<bigint, string[]>();
  const waiting = [Buffer.from(root)];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const stats = await lstat(path, { bigint: true });
    const name = `.${path.subarray(Buffer.byteLength(root)).toString("latin1")}`;
    entries[name] = await describeEntry(path, stats);
    if (stats.isDirectory()) {
      for (const child of await readdir(path, { encoding: "buffer" })) {
        waiting.push(Buffer.concat([path, Buffer.from("/"), child]));
      }
    } else if (stats.nlink > 1n) {
      names.set(stats.ino, [...(names.get(stats.ino) ?? []), name]);
    }
  }
  return {
    entries,
    linked: [...names.values()].map((group) => group.sort()).sort(),
    attributes: await attributesOf(root),
  };
}

async function describeEntry(path: Buffer, stats: BigIntStats): Promise<string> {
  const { mode, uid, gid, mtimeNs, rdev, size, nlink, blocks } = stats;
  const text = [`mode ${mode.toString(8)} owner ${uid}:${gid} mtime ${mtimeNs}`];
  const kind = Number(mode) & fs.S_IFMT;
  if (kind !== fs.S_IFDIR) text.push(`links ${nlink}`);
  if (kind === fs.S_IFCHR || kind === fs.S_IFBLK) text.push(`device ${rdev}`);
  if (kind === fs.S_IFLNK) {
    text.push(`to ${(await readlink(path, { encoding: "buffer" })).toString("latin1")}`);
  }
  if (kind === fs.S_IFREG) {
    text.push(`size ${size} sha256 ${await digestOf(path)}`);
    if (size >= SPARSE_FROM_BYTES) text.push(blocks * 512n < size / 2n ? "sparse" : "full");
  }
  return text.join(" ");
}

async function attributesOf(root: string): Promise<readonly string[]> {
  const { stdout } = await run(
    "getfattr",
    ["--recursive", "--physical", "--no-dereference", "--dump", "--match=-", "--encoding=hex", "."],
    { cwd: root, maxBuffer: OUTPUT_LIMIT_BYTES },
  );
  return stdout
    .split("\n\n")
    .map((block) => block.split("\n").sort().join("\n"))
    .filter((block) => block !== "")
    .sort();
}
