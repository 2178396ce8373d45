import { closeSync, constants as fs, openSync } from "node:fs";
import { basename, dirname } from "node:path";
import { errnoOf } from "./errno.ts";
import { removeEntry, type Sparing } from "./layer-removal.ts";
import { errnoOfCall, SyscallError } from "./libc.ts";
import { nameOf } from "./libc-at.ts";
import { findMountIn } from "./mount-in.ts";

/** Of a device's number in the identity of a file. */
const DEVICE_LENGTH = 8;
/** What is met when something in the tree was renamed meanwhile, or when the tree is too deep to hold all of the way. */
const ELSEWHERE: ReadonlySet<string> = new Set([
  ...["ENOENT", "ENOTDIR", "EISDIR", "ENOTEMPTY", "ELOOP", "EMFILE"],
]);

/**
 * Removes the tree at `path` by descriptors, without following a link and without leaving its file system or mount. Absent is
 * success. In a thread of its own: it takes as long as the tree is large.
 *
 * @param stop Not zero in its first place: it is to end, with ECANCELED.
 * @returns False when it met what only another way gets through; a part may be gone.
 */
export function removeTree(path: string, stop: Int32Array): boolean {
  let parent: number;
  try {
    const mounted = findMountIn(path);
    if (mounted !== undefined) {
      const why = `${mounted} is a mount point; unmount it first`;
      throw new SyscallError("remove", path, "EBUSY", { why });
    }
    parent = openSync(dirname(path), fs.O_RDONLY | fs.O_DIRECTORY);
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return true;
    throw thrown;
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
