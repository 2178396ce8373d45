import { constants as fs, fstatSync } from "node:fs";
import { errnoOfCall, ioctl, SyscallError, withFile } from "./libc.ts";

// linux/fiemap.h (6.1)
const FS_IOC_FIEMAP = 0xc020660b;
/** struct fiemap without its extents, in bytes, and where its fields lie. */
const HEAD_BYTES = 32;
const HEAD = { start: 0, length: 8, flags: 16, mapped: 20, count: 24 } as const;
/** struct fiemap_extent. */
const EXTENT_BYTES = 56;
const EXTENT = { logical: 0, length: 16, flags: 40 } as const;
const EXTENT_LAST = 0x1;
const EXTENT_SHARED = 0x2000;
/** Extents asked for at a time. */
const BATCH = 1_000;
const BLOCK_BYTES = 512;

/** `Kernel.exclusiveBytes`. */
export function exclusiveBytes(path: string): number {
  return withFile("count", path, fs.O_RDONLY | fs.O_NOFOLLOW, (fd) => {
    const stat = fstatSync(fd);
    if (!stat.isFile()) {
      throw new SyscallError("count", path, "EINVAL", { why: "it is no regular file" });
    }
    const allocatedBytes = stat.blocks * BLOCK_BYTES;
    try {
      // Never more, whatever is still on its way to the disk.
      return Math.max(0, allocatedBytes - countShared(fd, path));
    } catch (thrown) {
      if (["EOPNOTSUPP", "ENOTTY"].includes(errnoOfCall(thrown) ?? "")) return allocatedBytes;
      throw thrown;
    }
  });
}

function countShared(fd: number, path: string): number {
  const map = Buffer.alloc(HEAD_BYTES + BATCH * EXTENT_BYTES);
  let sharedBytes = 0;
  for (let start = 0n; ; ) {
    map.writeBigUInt64LE(start, HEAD.start);
    map.writeBigUInt64LE(0x7fffffffffffffffn - start, HEAD.length);
    map.writeUInt32LE(BATCH, HEAD.count);
    ioctl(fd, FS_IOC_FIEMAP, map, "count", path);
    const mapped = map.readUInt32LE(HEAD.mapped);
    for (let index = 0; index < mapped; index++) {
      const at = HEAD_BYTES + index * EXTENT_BYTES;
      const flags = map.readUInt32LE(at + EXTENT.flags);
      const length = map.readBigUInt64LE(at + EXTENT.length);
      if ((flags & EXTENT_SHARED) !== 0) sharedBytes += Number(length);
      if ((flags & EXTENT_LAST) !== 0) return sharedBytes;
      start = map.readBigUInt64LE(at + EXTENT.logical) + length;
    }
    if (mapped === 0) return sharedBytes;
  }
}
