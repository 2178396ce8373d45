import { closeSync, constants as fs, openSync } from "node:fs";
import { basename, dirname } from "node:path";
import { errnoOf } from "./errno.ts";
import { removeEntry, type Sparing } from "./layer-removal.ts";
import { errnoOfCall, SyscallError } from "./libc.ts";
import { nameOf } from "./libc-at.ts";
import { MountsIn } from "./mount-in.ts";

/** Of a device's number in the identity of a file. */
const DEVICE_LENGTH = 8;
/** What is met when something in the tree was renamed meanwhile, or when the tree is too deep to hold all of the way. */
const ELSEWHERE: ReadonlySet<string> = new Set([
  ...["ENOENT", "ENOTDIR", "EISDIR", "ENOTEMPTY", "ELOOP", "EMFILE"],
]);

/**
 * Removes the trees at `paths`, in this order, by descriptors, without following a link and without leaving the file system or
 * mount of each. Absent is success. In a thread of its own: it takes as long as the trees are large.
 *
 * @param stop Not zero in its first place: it is to end, with ECANCELED.
 * @returns How many are gone: in the one after them it met what only another way gets through; a part of it may be gone.
 */
export function removeTrees(paths: readonly string[], stop: Int32Array): number {
  const mounts = new MountsIn();
  const stuck = paths.findIndex((path) => !removeTree(path, mounts, stop));
  return stuck < 0 ? paths.length : stuck;
}

function removeTree(path: string, mounts: MountsIn, stop: Int32Array): boolean {
  let parent: number;
  try {
    const mounted = mounts.find(path);
    if (mounted !== undefined) {
      const why = `${mounted} is a mount point; unmount it first`;
      throw new SyscallError("remove", path, "EBUSY", { why });
    }
    parent = openSync(dirname(path), fs.O_RDONLY | fs.O_DIRECTORY);
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (errno === "ENOENT") return true;
    throw errno === undefined ? thrown : new SyscallError("remove", path, errno);
  }
  try {
    return removeEntry(parent, nameOf(basename(path)), staying(path, stop), false, path);
  } catch (thrown) {
    if (ELSEWHERE.has(errnoOfCall(thrown) ?? "")) return false;
    throw thrown;
  } finally {
    closeSync(parent);
  }
}

/** Nothing stays, and what is in another file system is not come to. */
function staying(path: string, stop: Int32Array): Sparing {
  let device: string | undefined;
  return {
    isSpared: (directoryKey) => {
      if (Atomics.load(stop, 0) !== 0) throw new SyscallError("remove", path, "ECANCELED");
      const here = directoryKey.slice(0, DEVICE_LENGTH);
      device ??= here;
      if (here !== device) throw new SyscallError("remove", path, "EBUSY");
      return false;
    },
    emptied: () => undefined,
  };
}
