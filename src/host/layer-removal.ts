import { DEPTH_LIMIT, entriesOf, OPEN_DIRECTORY, SELF } from "./directory-entries.ts";
import { errnoOfCall, SyscallError } from "./libc.ts";
import { close, openAt } from "./libc-at.ts";
import { EntryStat, removeDirectoryAt, unlinkAt } from "./libc-layer.ts";

/** How often a directory is listed: while it shrinks, a name can be hidden. */
const ROUNDS = 8;
const NOTHING = Buffer.alloc(1);

/** What is left of a tree when it is removed. */
export interface Sparing {
  /** Whether this entry stays; with it the way to it, and what is in it as far as that stays. */
  isSpared(directoryKey: string, name: Buffer): boolean;
  /** Called with a directory that stays only for what is in it. */
  emptied(directory: number, name: Buffer): void;
}

/** Nothing stays. */
export const SPARE_NOTHING: Sparing = { isSpared: () => false, emptied: () => undefined };

/**
 * Removes what is in the open directory `directory`, by descriptors and without following a link.
 *
 * @returns True when nothing is left in it.
 */
export function removeContent(
  directory: number,
  sparing: Sparing,
  path: string,
  depth = 1,
): boolean {
  // Of its own: a descriptor that was listed before goes on where that ended, and btrfs lists what was there when it was opened.
  const fd = openAt(directory, SELF, OPEN_DIRECTORY, path);
  try {
    return removeListed(fd, sparing, path, depth);
  } finally {
    close(fd);
  }
}

function removeListed(fd: number, sparing: Sparing, path: string, depth: number): boolean {
  if (depth > DEPTH_LIMIT) throw new SyscallError("remove", path, "ELOOP");
  const stat = new EntryStat();
  if (!stat.ask(fd, NOTHING, path)) return true;
  const key = stat.identity;
  let empty = true;
  for (const each of entriesOf(fd, path)) {
    // What is listed stays valid only until the next is asked for, and deeper removals ask.
    const name = Buffer.from(each);
    const spared = sparing.isSpared(key, name);
    if (!removeEntry(fd, name, sparing, spared, path, depth)) empty = false;
  }
  return empty;
}

/** Removes an entry of a directory with all that is in it. @returns True when it is gone. */
export function removeEntry(
  directory: number,
  name: Buffer,
  sparing: Sparing,
  spared: boolean,
  path: string,
  depth = 0,
): boolean {
  const stat = new EntryStat();
  if (!stat.ask(directory, name, path)) return true;
  if (!stat.isDirectory) {
    if (!spared) unlinkAt(directory, name, path);
    return !spared;
  }
  if (stat.isMountPoint) throw new SyscallError("remove", path, "EBUSY");
  const fd = openAt(directory, name, OPEN_DIRECTORY, path);
  try {
    // It may have become one since it was looked at.
    if (stat.ask(fd, NOTHING, path) && stat.isMountPoint) {
      throw new SyscallError("remove", path, "EBUSY");
    }
    for (let round = 1; round <= ROUNDS; round++) {
      const empty = removeContent(fd, sparing, path, depth + 1);
      if (spared) return false;
      if (!empty) {
        sparing.emptied(directory, name);
        return false;
      }
      if (isRemoved(directory, name, path)) return true;
    }
  } finally {
    close(fd);
  }
  throw new SyscallError("remove", path, "ENOTEMPTY");
}

/** False: something is in it. */
function isRemoved(directory: number, name: Buffer, path: string): boolean {
  try {
    removeDirectoryAt(directory, name, path);
    return true;
  } catch (thrown) {
    if (errnoOfCall(thrown) === "ENOTEMPTY") return false;
    if (errnoOfCall(thrown) === "ENOENT") return true;
    throw thrown;
  }
}
