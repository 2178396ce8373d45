import koffi from "koffi";
import { errnoName } from "./errno.ts";

/*
 * What the kernel tells of one mount, without the table of all (statx(2), statmount(2); linux/stat.h and linux/mount.h of
 * 6.18). For worker threads only, as `libc.ts`.
 */

const libc = koffi.load("libc.so.6");
const rawStatx = libc.func("int statx(int, str, int, uint, void *)");
const rawStatmount = libc.func("syscall", "long", ["long", "void *", "void *", "ulong", "uint"]);

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_NO_AUTOMOUNT = 0x800;
const AT_STATX_DONT_SYNC = 0x4000;
const STATX_MNT_ID_UNIQUE = 0x4000;
const STATX_BYTES = 256;
const STATX_MNT_ID_AT = 144;

const SYS_STATMOUNT = 457;
const MOUNT_ID_REQUEST_BYTES = 24;
/** Before the strings that it points into. */
const STATMOUNT_BYTES = 512;
/** With the longest options: those of an overlay of hundreds of layers are in the table. */
const ANSWER_BYTES = 16_384;
const STATMOUNT_SB_SOURCE = 0x200;
/** Also what of the file system, numbers, root, mount point, type, options, subtype. */
const ASKED = 0x1 | 0x2 | 0x8 | 0x10 | 0x20 | 0x80 | 0x100 | STATMOUNT_SB_SOURCE;
const NEEDED = 0x1 | 0x2 | 0x8 | 0x10 | 0x20 | STATMOUNT_SB_SOURCE;

/** A mount in the kernel's own words. */
export interface MountDescription {
  /** Number in `/proc/PID/mountinfo`. */
  readonly id: number;
  readonly parentId: number;
  /** As `major:minor`. */
  readonly device: string;
  readonly root: string;
  readonly mountPoint: string;
  /** `MOUNT_ATTR_…`. */
  readonly attributes: bigint;
  readonly type: string;
  /** "" where it has none. */
  readonly subtype: string;
  readonly source: string;
  /** `SB_…`. */
  readonly superFlags: number;
  /** Of the file system, by commas, blanks and the like in them escaped. */
  readonly options: string;
}

/**
 * Number, never given again, of the mount that `path` is in. A link in the last part is not followed.
 *
 * @returns null when it is absent; undefined when it cannot be told so (before 6.8, or the file system does not answer).
 */
export function mountIdOf(path: string): bigint | null | undefined {
  const answer = Buffer.alloc(STATX_BYTES);
  const flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
  if (rawStatx(AT_FDCWD, path, flags, STATX_MNT_ID_UNIQUE, answer) < 0) {
    const errno = errnoName(koffi.errno());
    return errno === "ENOENT" || errno === "ENOTDIR" ? null : undefined;
  }
  if ((answer.readUInt32LE(0) & STATX_MNT_ID_UNIQUE) === 0) return undefined;
  return answer.readBigUInt64LE(STATX_MNT_ID_AT);
}

/**
 * What the kernel tells of a mount by that number.
 *
 * @returns null when there is none any more; undefined when it does not tell all of it (before 6.13, or too long).
 */
export function describeMount(id: bigint): MountDescription | null | undefined {
  const request = Buffer.alloc(MOUNT_ID_REQUEST_BYTES);
  request.writeUInt32LE(MOUNT_ID_REQUEST_BYTES, 0);
  request.writeBigUInt64LE(id, 8);
  request.writeBigUInt64LE(BigInt(ASKED), 16);
  const answer = Buffer.alloc(ANSWER_BYTES);
  if (rawStatmount(SYS_STATMOUNT, request, answer, answer.length, 0) < 0) {
    return errnoName(koffi.errno()) === "ENOENT" ? null : undefined;
  }
  const mask = Number(answer.readBigUInt64LE(8));
  if ((mask & NEEDED) !== NEEDED) return undefined;
  const text = (bit: number, at: number): string => {
    if ((mask & bit) === 0) return "";
    const start = STATMOUNT_BYTES + answer.readUInt32LE(at);
    return answer.toString("utf8", start, answer.indexOf(0, start));
  };
  return {
    id: answer.readUInt32LE(56),
    parentId: answer.readUInt32LE(60),
    device: `${answer.readUInt32LE(16)}:${answer.readUInt32LE(20)}`,
    root: text(0x8, 104),
    mountPoint: text(0x10, 108),
    attributes: answer.readBigUInt64LE(64),
    type: text(0x20, 36),
    subtype: text(0x100, 120),
    source: text(STATMOUNT_SB_SOURCE, 124),
    superFlags: answer.readUInt32LE(32),
    options: text(0x80, 4),
  };
}
