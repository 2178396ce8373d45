import {
  type BigIntStats,
  closeSync,
  constants as fs,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
} from "node:fs";
import { formatName } from "../core/archive/name.ts";
import { Failure } from "../core/failure.ts";
import { TREE_DEPTH_LIMIT, type TreeChange, type TreeEntryType } from "../core/ports/tree-diff.ts";
import { attributesText } from "./attributes.ts";
import { errnoOf } from "./errno.ts";
import { attempt, SyscallError } from "./libc.ts";

/*
 * Compares two trees; for worker threads only. Every directory is opened by name in its open parent, without following a
 * link, and everything is looked at through `/proc/self/fd`: whatever is swapped meanwhile, the walk stays inside.
 */

const OPEN = fs.O_RDONLY | fs.O_DIRECTORY | fs.O_NOFOLLOW | fs.O_NONBLOCK;
/** What a name that is gone, or something else by now, answers. */
const GONE: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR", "ELOOP", "EINVAL", "ESTALE"]);

/** An open directory of one of the trees. */
interface Directory {
  readonly fd: number;
  /** Device of the tree's root: what lies on another is not entered. */
  readonly device: bigint;
}

/** One entry as it stands in its directory. */
interface Entry {
  /** With a zero at its end, for calls of libc. */
  readonly path: Buffer;
  readonly stats: BigIntStats;
  readonly type: TreeEntryType;
}

/** The differences, in the order of the contract. @throws SyscallError, or a Failure when the tree is too deep. */
export function* walkTrees(from: string, to: string): Generator<TreeChange, void, undefined> {
  const before = openRoot(from);
  try {
    const after = openRoot(to);
    try {
      const was = entryAt(before, ".");
      const is = entryAt(after, ".");
      if (was !== undefined && is !== undefined && !isEqual(was, is)) {
        yield change("changed", ".", was, is);
      }
      yield* walk(before, after, "", 1);
    } finally {
      closeSync(after.fd);
    }
  } finally {
    closeSync(before.fd);
  }
}

/** @param prefix Path of the directories with a slash, for people. */
function* walk(
  before: Directory | undefined,
  after: Directory | undefined,
  prefix: string,
  depth: number,
): Generator<TreeChange, void, undefined> {
  if (depth > TREE_DEPTH_LIMIT) {
    throw new Failure(
      "out_of_range",
      `Cannot compare the trees: more than ${TREE_DEPTH_LIMIT} directories lie inside one another`,
    );
  }
  for (const name of merged(namesIn(before), namesIn(after))) {
    const was = entryAt(before, name);
    const is = entryAt(after, name);
    if (was === undefined && is === undefined) continue;
    const path = prefix + formatName(name);
    if (was !== undefined && is !== undefined && was.type !== is.type) {
      yield* differ(before, undefined, was, undefined, name, path, depth);
      yield* differ(undefined, after, undefined, is, name, path, depth);
    } else yield* differ(before, after, was, is, name, path, depth);
  }
}

/** What is to be said of one name, and of what is in it. */
function* differ(
  before: Directory | undefined,
  after: Directory | undefined,
  was: Entry | undefined,
  is: Entry | undefined,
  name: string,
  path: string,
  depth: number,
): Generator<TreeChange, void, undefined> {
  if (was === undefined || is === undefined) {
    yield change(was === undefined ? "added" : "removed", path, was, is);
  } else if (!isEqual(was, is)) yield change("changed", path, was, is);
  if (was?.type !== "directory" && is?.type !== "directory") return;
  const inner = was === undefined ? undefined : enter(before, was, name);
  try {
    const outer = is === undefined ? undefined : enter(after, is, name);
    try {
      yield* walk(inner, outer, `${path}/`, depth + 1);
    } finally {
      if (outer !== undefined) closeSync(outer.fd);
    }
  } finally {
    if (inner !== undefined) closeSync(inner.fd);
  }
}

function openRoot(path: string): Directory {
  const fd = attempt("compare", path, () => openSync(path, OPEN));
  return { fd, device: fstatSync(fd, { bigint: true }).dev };
}

/** Undefined: it is gone, no directory any more, or lies on another file system. */
function enter(
  parent: Directory | undefined,
  { stats, path }: Entry,
  name: string,
): Directory | undefined {
  if (parent === undefined || stats.dev !== parent.device) return undefined;
  const fd = absentIsUndefined(name, () => openSync(path.subarray(0, -1), OPEN));
  return fd === undefined ? undefined : { fd, device: parent.device };
}

function namesIn(directory: Directory | undefined): readonly string[] {
  if (directory === undefined) return [];
  // One character a byte, so that the order of the texts is that of the bytes.
  const read = () => readdirSync(`/proc/self/fd/${directory.fd}`, { encoding: "latin1" });
  return (absentIsUndefined("a directory", read) ?? []).sort();
}

/** Each name of two sorted lists once, in order. */
function* merged(left: readonly string[], right: readonly string[]): Iterable<string> {
  let l = 0;
  let r = 0;
  for (;;) {
    const a = left[l];
    const b = right[r];
    const next = a === undefined ? b : b === undefined || a < b ? a : b;
    if (next === undefined) return;
    if (a === next) l++;
    if (b === next) r++;
    yield next;
  }
}

function entryAt(directory: Directory | undefined, name: string): Entry | undefined {
  if (directory === undefined) return undefined;
  const path = Buffer.from(`/proc/self/fd/${directory.fd}/${name}\0`, "latin1");
  const look = () => lstatSync(path.subarray(0, -1), { bigint: true });
  const stats = absentIsUndefined(name, look);
  return stats === undefined ? undefined : { path, stats, type: typeOf(stats) };
}

function typeOf(stats: BigIntStats): TreeEntryType {
  if (stats.isFile()) return "file";
  if (stats.isDirectory()) return "directory";
  return stats.isSymbolicLink() ? "symlink" : "other";
}

function isEqual({ stats: a, type, path: was }: Entry, { stats: b, path: is }: Entry): boolean {
  if (a.uid !== b.uid || a.gid !== b.gid || a.rdev !== b.rdev) return false;
  // With the kind: a FIFO and a socket are both `other`.
  if (a.mode !== b.mode) return false;
  if (type !== "directory" && (a.mtimeNs !== b.mtimeNs || a.size !== b.size)) return false;
  // The very same inode since its last change: both trees are snapshots of one, and nothing else can differ.
  if (a.ino === b.ino && a.ctimeNs === b.ctimeNs) return true;
  if (type === "symlink" && linkOf(was) !== linkOf(is)) return false;
  return attributesText(was) === attributesText(is);
}

function linkOf(path: Buffer): string | undefined {
  return absentIsUndefined("a link", () => readlinkSync(path.subarray(0, -1), "latin1"));
}

function change(
  kind: TreeChange["kind"],
  path: string,
  was: Entry | undefined,
  is: Entry | undefined,
): TreeChange {
  const bytes = (entry: Entry | undefined): number =>
    entry?.type === "file" ? Number(entry.stats.size) : 0;
  const type = (is ?? was)?.type ?? "other";
  return { path, kind, type, bytesBefore: bytes(was), bytesAfter: bytes(is) };
}

/** In a tree that is being written, what was listed may be gone, or something else, a moment later. */
function absentIsUndefined<T>(name: string, look: () => T): T | undefined {
  try {
    return look();
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (errno === undefined) throw thrown;
    if (GONE.has(errno)) return undefined;
    throw new SyscallError("compare", formatName(name), errno);
  }
}
