import { constants as fs } from "node:fs";
import koffi from "koffi";
import { errnoName } from "./errno.ts";
import { SyscallError } from "./libc.ts";

/*
 * Calls of libc for the trees of layers. For worker threads only. Names and paths end with a NUL; `path` is for messages.
 */

const libc = koffi.load("libc.so.6");
// openat2(2) has no wrapper in glibc; its number is the same on all architectures.
const rawOpenat2 = libc.func("syscall", "long", ["long", "int", "void *", "void *", "ulong"]);
const rawUnlinkat = libc.func("int unlinkat(int, void *, int)");
const rawStatx = libc.func("int statx(int, void *, int, uint, void *)");
const rawFchown = libc.func("int fchown(int, uint, uint)");
const rawFchmod = libc.func("int fchmod(int, uint)");
const rawFutimens = libc.func("int futimens(int, void *)");
const rawSetxattr = libc.func("int lsetxattr(void *, void *, void *, ulong, int)");
const rawRemovexattr = libc.func("int lremovexattr(void *, void *)");
const rawFsetxattr = libc.func("int fsetxattr(int, void *, void *, ulong, int)");
const rawFremovexattr = libc.func("int fremovexattr(int, void *)");
const rawFgetxattr = libc.func("int64_t fgetxattr(int, void *, void *, ulong)");

const SYS_OPENAT2 = 437;
const O_CLOEXEC = 0o2000000;
const AT_REMOVEDIR = 0x200;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_NO_AUTOMOUNT = 0x800;
const AT_EMPTY_PATH = 0x1000;
/** linux/openat2.h (6.1): no mount point is crossed, no magic link or no link at all followed, and paths end at the root. */
const RESOLVE_NO_XDEV = 0x01;
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_NO_SYMLINKS = 0x04;
const RESOLVE_IN_ROOT = 0x10;
/** How often a path is walked again because something was renamed meanwhile. */
const WALKS = 100;

/** struct open_how: flags, mode, resolve. */
function howToOpen(resolve: number): Buffer {
  const how = Buffer.alloc(24);
  how.writeBigUInt64LE(BigInt(fs.O_RDONLY | fs.O_DIRECTORY | O_CLOEXEC), 0);
  how.writeBigUInt64LE(BigInt(resolve), 16);
  return how;
}

const FOLLOWING = howToOpen(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV);
const STRAIGHT = howToOpen(RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);

function failed(call: string, path: string): SyscallError {
  return new SyscallError(call, path, errnoName(koffi.errno()));
}

function check(result: number, call: string, path: string): void {
  if (result < 0) throw failed(call, path);
}

/**
 * Opens a directory as a process would whose root directory `root` is: links lead where they lead for it, `..` ends there.
 *
 * @param links Whether links are followed, or are ELOOP.
 */
export function openInRoot(
  root: number,
  name: Buffer,
  links: "followed" | "refused",
  path: string,
): number {
  const how = links === "followed" ? FOLLOWING : STRAIGHT;
  for (let walk = 1; ; walk++) {
    const fd = rawOpenat2(SYS_OPENAT2, root, name, how, how.length);
    if (fd >= 0) return fd;
    const error = failed("open", path);
    if (error.errno !== "EAGAIN" || walk === WALKS) throw error;
  }
}

/** unlinkat(2) of what is no directory. */
export function unlinkAt(directory: number, name: Buffer, path: string): void {
  check(rawUnlinkat(directory, name, 0), "remove", path);
}

/** unlinkat(2) of an empty directory. */
export function removeDirectoryAt(directory: number, name: Buffer, path: string): void {
  check(rawUnlinkat(directory, name, AT_REMOVEDIR), "remove", path);
}

/** struct statx (linux/stat.h, 6.1): where its fields are. */
const STATX_BYTES = 256;
const STATX_BASIC_STATS = 0x7ff;
const STATX_ATTR_MOUNT_ROOT = 0x2000;
const AT = {
  ...{ attributes: 8, nlink: 16, uid: 20, gid: 24, mode: 28, ino: 32, size: 40, blocks: 48 },
  ...{ ctime: 96, mtime: 112, rdev: 128, major: 128, minor: 132, device: 136 },
} as const;
const TIME_BYTES = 12;
const NS_PER_S = 1_000_000_000n;

/** What the file system says of an entry. */
export class EntryStat {
  readonly #bytes: Buffer;

  constructor(bytes: Buffer = Buffer.alloc(STATX_BYTES)) {
    this.#bytes = bytes;
  }

  /** One that stays as it is. */
  copy(): EntryStat {
    return new EntryStat(Buffer.from(this.#bytes));
  }

  /** Asks anew. False: there is nothing of this name, or no way to it. */
  ask(directory: number, name: Buffer, path: string): boolean {
    const flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (name.length === 1 ? AT_EMPTY_PATH : 0);
    if (rawStatx(directory, name, flags, STATX_BASIC_STATS, this.#bytes) >= 0) return true;
    const error = failed("look at", path);
    if (error.errno === "ENOENT" || error.errno === "ESTALE") return false;
    throw error;
  }

  /** Kind and permissions, as `st_mode`. */
  get mode(): number {
    return this.#bytes.readUInt16LE(AT.mode);
  }

  get kind(): number {
    return this.mode & fs.S_IFMT;
  }

  get isDirectory(): boolean {
    return this.kind === fs.S_IFDIR;
  }

  get isFile(): boolean {
    return this.kind === fs.S_IFREG;
  }

  get nlink(): number {
    return this.#bytes.readUInt32LE(AT.nlink);
  }

  get uid(): number {
    return this.#bytes.readUInt32LE(AT.uid);
  }

  get gid(): number {
    return this.#bytes.readUInt32LE(AT.gid);
  }

  get sizeBytes(): number {
    return Number(this.#bytes.readBigUInt64LE(AT.size));
  }

  get storedBytes(): number {
    return Number(this.#bytes.readBigUInt64LE(AT.blocks)) * 512;
  }

  /** Since 1970. */
  get mtimeNs(): bigint {
    const seconds = this.#bytes.readBigInt64LE(AT.mtime);
    return seconds * NS_PER_S + BigInt(this.#bytes.readUInt32LE(AT.mtime + 8));
  }

  /** Whether the time of its last change to the content is a whole second. */
  get isWholeSecond(): boolean {
    return this.#bytes.readUInt32LE(AT.mtime + 8) === 0;
  }

  get major(): number {
    return this.#bytes.readUInt32LE(AT.major);
  }

  get minor(): number {
    return this.#bytes.readUInt32LE(AT.minor);
  }

  /** The same for two names of one file in one tree. */
  get identity(): string {
    return this.#bytes.toString("latin1", AT.device, AT.device + 8) + this.#inode();
  }

  get isMountPoint(): boolean {
    return (this.#bytes.readUInt32LE(AT.attributes) & STATX_ATTR_MOUNT_ROOT) !== 0;
  }

  hasInodeOf(other: EntryStat): boolean {
    return this.#isSame(other, AT.ino, 8);
  }

  hasChangeTimeOf(other: EntryStat): boolean {
    return this.#isSame(other, AT.ctime, TIME_BYTES);
  }

  hasTimeOf(other: EntryStat): boolean {
    return this.#isSame(other, AT.mtime, TIME_BYTES);
  }

  hasDeviceNumberOf(other: EntryStat): boolean {
    return this.#isSame(other, AT.rdev, 8);
  }

  #inode(): string {
    return this.#bytes.toString("latin1", AT.ino, AT.ino + 8);
  }

  #isSame(other: EntryStat, at: number, bytes: number): boolean {
    return this.#bytes.compare(other.#bytes, at, at + bytes, at, at + bytes) === 0;
  }
}

/** fchown(2). */
export function setOwner(fd: number, uid: number, gid: number, path: string): void {
  check(rawFchown(fd, uid, gid), "set owner of", path);
}

/** fchmod(2). */
export function setMode(fd: number, mode: number, path: string): void {
  check(rawFchmod(fd, mode), "set mode of", path);
}

const specs = Buffer.alloc(32);

/** futimens(2): both times. */
export function setTime(fd: number, mtimeNs: bigint, path: string): void {
  const rest = ((mtimeNs % NS_PER_S) + NS_PER_S) % NS_PER_S;
  for (const at of [0, 16]) {
    specs.writeBigInt64LE((mtimeNs - rest) / NS_PER_S, at);
    specs.writeBigInt64LE(rest, at + 8);
  }
  check(rawFutimens(fd, specs), "set times of", path);
}

/** An open file, or a path on which no link in the last part is followed. */
export type AttributeHolder = number | Buffer;

/** setxattr(2). */
export function setAttribute(
  holder: AttributeHolder,
  name: Buffer,
  value: Uint8Array,
  path: string,
): void {
  const result =
    typeof holder === "number"
      ? rawFsetxattr(holder, name, value, value.length, 0)
      : rawSetxattr(holder, name, value, value.length, 0);
  check(result, `set attribute ${name.toString("latin1", 0, name.length - 1)} of`, path);
}

/** removexattr(2); absent is success. */
export function removeAttribute(holder: AttributeHolder, name: Buffer, path: string): void {
  const result =
    typeof holder === "number" ? rawFremovexattr(holder, name) : rawRemovexattr(holder, name);
  if (result >= 0) return;
  const error = failed("remove attribute of", path);
  if (!["ENODATA", "EOPNOTSUPP", "ENOTSUP"].includes(error.errno)) throw error;
}

/** Whether there is an attribute of this name. */
export function hasAttribute(fd: number, name: Buffer): boolean {
  return rawFgetxattr(fd, name, null, 0) >= 0;
}
