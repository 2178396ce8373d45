import { constants as fs, readlinkSync, readSync } from "node:fs";
import { isLayerAttribute } from "../core/archive/entry.ts";
import { attributesOf } from "./attributes.ts";
import { OPEN_FILE } from "./directory-entries.ts";
import { attempt } from "./libc.ts";
import { close, openAt } from "./libc-at.ts";
import type { EntryStat } from "./libc-layer.ts";

/** What is read of each file at once, in bytes. */
const BLOCK_BYTES = 256 * 1024;

/** An entry in one of the trees. */
export interface Side {
  readonly stat: EntryStat;
  /** The open directory that it is in; itself when the name is empty. */
  readonly directory: number;
  /** With a NUL. */
  readonly name: Buffer;
}

/** The way to an entry, with a NUL. */
export function wayTo({ directory, name }: Side): Buffer {
  const here = name.length === 1 ? Buffer.from(".\0") : name;
  return Buffer.concat([Buffer.from(`/proc/self/fd/${directory}/`), here]);
}

/** Attributes that a layer keeps, in order. */
export function layerAttributes(way: Buffer): readonly (readonly [string, Buffer])[] {
  return attributesOf(way, isLayerAttribute);
}

/** Target of a symbolic link, one character a byte. */
export function linkTarget(side: Side): string {
  return attempt("read link", "a link", () =>
    readlinkSync(wayTo(side).subarray(0, -1), { encoding: "latin1" }),
  );
}

/** Decides whether an entry is as it was in the parent: `LayerTar`, contract 12. */
export class LayerEquality {
  readonly #was = Buffer.alloc(BLOCK_BYTES);
  readonly #is = Buffer.alloc(BLOCK_BYTES);

  areEqual(was: Side, is: Side): boolean {
    const { stat: a } = was;
    const { stat: b } = is;
    if (a.mode !== b.mode || a.uid !== b.uid || a.gid !== b.gid || !a.hasTimeOf(b)) return false;
    if (!b.isDirectory && a.sizeBytes !== b.sizeBytes) return false;
    const sameInode = a.hasInodeOf(b);
    // The very same inode since its last change: both trees are views of one, and nothing else can differ.
    if (sameInode && a.hasChangeTimeOf(b)) return true;
    const isDevice = b.kind === fs.S_IFCHR || b.kind === fs.S_IFBLK;
    if (isDevice && !a.hasDeviceNumberOf(b)) return false;
    if (b.kind === fs.S_IFLNK && linkTarget(was) !== linkTarget(is)) return false;
    if (textOf(was) !== textOf(is)) return false;
    // Times without nanoseconds come from archives, and many files have the same.
    const isRead = b.isFile && b.sizeBytes > 0 && (sameInode || b.isWholeSecond);
    return !isRead || this.#haveEqualContent(was, is);
  }

  #haveEqualContent(was: Side, is: Side): boolean {
    const before = openAt(was.directory, was.name, OPEN_FILE | fs.O_NOFOLLOW, "a file");
    try {
      const after = openAt(is.directory, is.name, OPEN_FILE | fs.O_NOFOLLOW, "a file");
      try {
        for (let at = 0; ; ) {
          const left = readBlock(before, this.#was, at);
          const right = readBlock(after, this.#is, at);
          if (left !== right || this.#was.compare(this.#is, 0, left, 0, left) !== 0) return false;
          if (left === 0) return true;
          at += left;
        }
      } finally {
        close(after);
      }
    } finally {
      close(before);
    }
  }
}

function textOf(side: Side): string {
  return layerAttributes(wayTo(side))
    .map(([name, value]) => `${name}=${value.toString("hex")}`)
    .join("\0");
}

/** Fills the block as far as the file goes. */
function readBlock(fd: number, block: Buffer, offset: number): number {
  let filled = 0;
  while (filled < block.length) {
    const at = filled;
    const length = attempt("read", "a file", () =>
      readSync(fd, block, at, block.length - at, offset + at),
    );
    if (length === 0) break;
    filled += length;
  }
  return filled;
}
