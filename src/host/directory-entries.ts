import { constants as fs } from "node:fs";
import { nameOf, readEntries } from "./libc-at.ts";

/** What is read of a directory at once, in bytes: so much memory a level. */
const ENTRIES_BYTES = 32 * 1024;
/** struct linux_dirent64: inode, offset, length of the record, type, name. */
const RECORD_LENGTH_AT = 16;
const NAME_AT = 19;
const DOT = 0x2e;
/** Reading a tree is no access to its files. */
const O_NOATIME = 0o1000000;

/** Deepest tree that is walked: each level on the way down holds descriptors. */
export const DEPTH_LIMIT = 4_096;
/** How a directory is opened to walk it, and a file that is held to read it. */
export const OPEN_DIRECTORY: number = fs.O_RDONLY | fs.O_DIRECTORY | fs.O_NOFOLLOW;
export const OPEN_FILE: number = fs.O_RDONLY | fs.O_NONBLOCK | O_NOATIME;
/** The directory itself. */
export const SELF: Buffer = nameOf(".");

/** Names in a directory, each with its NUL, read bit by bit. One that is valid until the next is asked for. */
export function* entriesOf(directory: number, path: string): Generator<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(ENTRIES_BYTES);
  for (;;) {
    const length = readEntries(directory, buffer, path);
    if (length === 0) return;
    for (let at = 0; at < length; ) {
      const next = at + buffer.readUInt16LE(at + RECORD_LENGTH_AT);
      const name = buffer.subarray(at + NAME_AT, buffer.indexOf(0, at + NAME_AT) + 1);
      at = next;
      if (!isSelfOrParent(name)) yield name;
    }
  }
}

function isSelfOrParent(name: Buffer): boolean {
  if (name[0] !== DOT) return false;
  return name.length === 2 || (name.length === 3 && name[1] === DOT);
}
