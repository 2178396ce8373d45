import { type BigIntStats, fstatSync } from "node:fs";
import type { TreeBytes } from "../core/ports/files.ts";
import { DEPTH_LIMIT, entriesOf, OPEN_DIRECTORY, OPEN_FILE, SELF } from "./directory-entries.ts";
import { errnoOfCall, ioctl, SyscallError } from "./libc.ts";
import { close, HERE, handleOf, holdAt, nameOf, openAt } from "./libc-at.ts";

/** linux/fiemap.h (6.1): struct fiemap, and after it one struct fiemap_extent for each extent. */
const FS_IOC_FIEMAP = 0xc020660b;
const FIEMAP_BYTES = 32;
const EXTENT_BYTES = 56;
const EXTENTS = 256;
const MAPPED_AT = 20;
const COUNT_AT = 24;
const LOGICAL_AT = 0;
const LENGTH_AT = 16;
const FLAGS_AT = 40;
const EXTENT_LAST = 0x1;
const EXTENT_SHARED = 0x2000;
const UNKNOWN_THERE: readonly string[] = ["EOPNOTSUPP", "ENOTSUP", "ENOTTY"];

/** `Files.measureTree`, in a thread of its own. @param stop Not zero in its first place: it is to end, with ECANCELED. */
export function measureTree(root: string, stop: Int32Array): TreeBytes {
  const top = openAt(HERE, nameOf(root), OPEN_DIRECTORY, root);
  const open = [top];
  try {
    const stats = fstatSync(top, { bigint: true });
    const sum = new TreeSum(root);
    sum.add(top, stats);
    const levels = [entriesOf(top, root)];
    for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
      if (Atomics.load(stop, 0) !== 0) throw new SyscallError("count", root, "ECANCELED");
      const next = level.next();
      if (next.done === true) {
        levels.pop();
        close(open.pop() ?? -1);
        continue;
      }
      const held = holdAt(open.at(-1) ?? -1, next.value, root);
      // Gone by now; or something is mounted on it, which is not of this tree.
      if (held === undefined || held === "mount") continue;
      try {
        const found = fstatSync(held, { bigint: true });
        if (found.dev !== stats.dev) continue;
        sum.add(held, found);
        if (!found.isDirectory()) continue;
        if (levels.length >= DEPTH_LIMIT) throw new SyscallError("count", root, "ELOOP");
        const inner = openAt(held, SELF, OPEN_DIRECTORY, root);
        open.push(inner);
        levels.push(entriesOf(inner, root));
      } finally {
        close(held);
      }
    }
    return sum.bytes;
  } finally {
    for (const fd of open) close(fd);
  }
}

/** What was found so far. */
class TreeSum {
  readonly #root: string;
  /** Files with several names, and how many of the names are still to come. */
  readonly #linked = new Map<bigint, number>();
  readonly #map = Buffer.alloc(FIEMAP_BYTES + EXTENTS * EXTENT_BYTES);
  #allocatedBytes = 0;
  #sharedBytes = 0;
  #entries = 0;
  #tellsShared = true;

  constructor(root: string) {
    this.#root = root;
  }

  get bytes(): TreeBytes {
    const [allocatedBytes, sharedBytes] = [this.#allocatedBytes, this.#sharedBytes];
    return { allocatedBytes, sharedBytes, entries: this.#entries };
  }

  add(held: number, stats: BigIntStats): void {
    if (!stats.isDirectory() && stats.nlink > 1n && !this.#isFirst(stats)) return;
    this.#entries += 1;
    const allocatedBytes = Number(stats.blocks) * 512;
    this.#allocatedBytes += allocatedBytes;
    if (!this.#tellsShared || !stats.isFile() || allocatedBytes === 0) return;
    const fd = openAt(HERE, handleOf(held), OPEN_FILE, this.#root);
    try {
      this.#sharedBytes += Math.min(allocatedBytes, this.#sharedBytesOf(fd));
    } finally {
      close(fd);
    }
  }

  #isFirst({ ino, nlink }: BigIntStats): boolean {
    const left = this.#linked.get(ino);
    const first = left === undefined;
    const rest = (left ?? Number(nlink)) - 1;
    if (rest > 0) this.#linked.set(ino, rest);
    else this.#linked.delete(ino);
    return first;
  }

  #sharedBytesOf(fd: number): number {
    const map = this.#map;
    let bytes = 0;
    for (let start = 0n; ; ) {
      map.fill(0, 0, FIEMAP_BYTES);
      map.writeBigUInt64LE(start, 0);
      map.writeBigUInt64LE(0xffff_ffff_ffff_ffffn - start, 8);
      map.writeUInt32LE(EXTENTS, COUNT_AT);
      if (!this.#mapExtents(fd)) return bytes;
      const mapped = map.readUInt32LE(MAPPED_AT);
      let last = mapped === 0;
      for (let index = 0; index < mapped; index++) {
        const at = FIEMAP_BYTES + index * EXTENT_BYTES;
        const length = map.readBigUInt64LE(at + LENGTH_AT);
        const flags = map.readUInt32LE(at + FLAGS_AT);
        start = map.readBigUInt64LE(at + LOGICAL_AT) + length;
        if ((flags & EXTENT_SHARED) !== 0) bytes += Number(length);
        last ||= (flags & EXTENT_LAST) !== 0;
      }
      if (last) return bytes;
    }
  }

  #mapExtents(fd: number): boolean {
    try {
      ioctl(fd, FS_IOC_FIEMAP, this.#map, "count", this.#root);
      return true;
    } catch (thrown) {
      if (!UNKNOWN_THERE.includes(errnoOfCall(thrown) ?? "")) throw thrown;
      this.#tellsShared = false;
      return false;
    }
  }
}
