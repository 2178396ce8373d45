import { constants as fs } from "node:fs";
import koffi from "koffi";
import { errnoName } from "./errno.ts";
import { SyscallError } from "./libc.ts";

/*
 * Calls of libc that take a directory's descriptor and a name, which is bytes: the way to walk a tree that others rename
 * under one's feet. For worker threads only. Names end with a NUL, which {@link nameOf} adds.
 */

const libc = koffi.load("libc.so.6");
const rawOpenat = libc.func("int openat(int, void *, int, uint)");
// openat2(2) has no wrapper in glibc; its number is the same on all architectures.
const rawOpenat2 = libc.func("syscall", "long", ["long", "int", "void *", "void *", "ulong"]);
const rawClose = libc.func("int close(int)");
const rawGetdents = libc.func("long getdents64(int, void *, ulong)");
const rawMkdirat = libc.func("int mkdirat(int, void *, uint)");
const rawMknodat = libc.func("int mknodat(int, void *, uint, uint64)");
const rawSymlinkat = libc.func("int symlinkat(void *, int, void *)");
const rawReadlinkat = libc.func("long readlinkat(int, void *, void *, ulong)");
const rawLinkat = libc.func("int linkat(int, void *, int, void *, int)");
const rawFchownat = libc.func("int fchownat(int, void *, uint, uint, int)");
const rawFchmodat = libc.func("int fchmodat(int, void *, uint, int)");
const rawUtimensat = libc.func("int utimensat(int, void *, void *, int)");
const rawListxattr = libc.func("long listxattr(void *, void *, ulong)");
const rawGetxattr = libc.func("long getxattr(void *, void *, void *, ulong)");
const rawSetxattr = libc.func("int setxattr(void *, void *, void *, ulong, int)");
const rawFlistxattr = libc.func("long flistxattr(int, void *, ulong)");
const rawFgetxattr = libc.func("long fgetxattr(int, void *, void *, ulong)");
const rawFsetxattr = libc.func("int fsetxattr(int, void *, void *, ulong, int)");
const rawSyncfs = libc.func("int syncfs(int)");

const SYS_OPENAT2 = 437;
const AT_SYMLINK_NOFOLLOW = 0x100;
const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;
/** linux/openat2.h (6.1): no mount point is crossed, no magic link followed, and the directory is not left. */
const RESOLVE_NO_XDEV = 0x01;
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_BENEATH = 0x08;

const HOW_STAYING = howOf(
  O_PATH | fs.O_NOFOLLOW | O_CLOEXEC,
  RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_BENEATH,
);

/** struct open_how: flags, mode, resolve. */
function howOf(flags: number, resolve: number): Buffer {
  const how = Buffer.alloc(24);
  how.writeBigUInt64LE(BigInt(flags), 0);
  how.writeBigUInt64LE(BigInt(resolve), 16);
  return how;
}

/** The directory that paths without a slash at the front begin at. */
export const HERE: number = -100;

/** A name or path as libc takes it. */
export function nameOf(text: string | Buffer): Buffer {
  return Buffer.concat([typeof text === "string" ? Buffer.from(text) : text, Buffer.alloc(1)]);
}

/** The way to what a descriptor is of, whatever its name is by now. */
export function handleOf(fd: number): Buffer {
  return Buffer.from(`/proc/self/fd/${fd}\0`, "latin1");
}

/** What went wrong in the last call. */
function failed(call: string, path: string): SyscallError {
  return new SyscallError(call, path, errnoName(koffi.errno()));
}

function check(result: number, call: string, path: string): number {
  if (result >= 0) return result;
  throw failed(call, path);
}

/** openat(2), close-on-exec. @param path For messages, here and in the calls below. */
export function openAt(
  directory: number,
  name: Buffer,
  flags: number,
  path: string,
  mode = 0o600,
): number {
  return check(rawOpenat(directory, name, flags | O_CLOEXEC, mode), "open", path);
}

/**
 * A handle (O_PATH) on an entry of a directory: a link is not followed, a FIFO not waited for, a device not disturbed.
 * Undefined when it is absent; "mount" when something is mounted on it.
 */
export function holdAt(
  directory: number,
  name: Buffer,
  path: string,
): number | "mount" | undefined {
  const fd = rawOpenat2(SYS_OPENAT2, directory, name, HOW_STAYING, HOW_STAYING.length);
  if (fd >= 0) return fd;
  const error = failed("open", path);
  if (error.errno === "ENOENT" || error.errno === "ESTALE") return undefined;
  if (error.errno === "EXDEV") return "mount";
  throw error;
}

/** A handle on what is mounted on an entry. */
export function holdMountAt(directory: number, name: Buffer, path: string): number {
  return openAt(directory, name, O_PATH | fs.O_NOFOLLOW, path);
}

/** close(2). Not Node's: it did not open it, and would wonder. */
export function close(fd: number): void {
  rawClose(fd);
}

/** getdents64(2): fills `buffer`, answers how far; 0 at the end. */
export function readEntries(directory: number, buffer: Buffer, path: string): number {
  return check(rawGetdents(directory, buffer, buffer.length), "list", path);
}

/** mkdirat(2), mode 0700; false when the name is taken. */
export function makeDirectoryAt(directory: number, name: Buffer, path: string): boolean {
  return isNew(rawMkdirat(directory, name, 0o700), "make directory", path);
}

/** mknodat(2); false when the name is taken. */
export function makeNodeAt(
  directory: number,
  name: Buffer,
  node: { readonly mode: number; readonly device: bigint },
  path: string,
): boolean {
  return isNew(rawMknodat(directory, name, node.mode, node.device), "make", path);
}

/** symlinkat(2); false when the name is taken. */
export function makeLinkAt(target: Buffer, directory: number, name: Buffer, path: string): boolean {
  return isNew(rawSymlinkat(target, directory, name), "make link", path);
}

/** A new file to write to; undefined when the name is taken. */
export function makeFileAt(directory: number, name: Buffer, path: string): number | undefined {
  const flags = fs.O_RDWR | fs.O_CREAT | fs.O_EXCL | fs.O_NOFOLLOW | O_CLOEXEC;
  const fd = rawOpenat(directory, name, flags, 0o600);
  return isNew(fd, "create", path) ? fd : undefined;
}

/** linkat(2) of `from` below `top`; false when the name is taken. */
export function linkAt(
  top: number,
  from: Buffer,
  directory: number,
  name: Buffer,
  path: string,
): boolean {
  return isNew(rawLinkat(top, from, directory, name, 0), "link", path);
}

function isNew(result: number, call: string, path: string): boolean {
  if (result >= 0) return true;
  const error = failed(call, path);
  if (error.errno === "EEXIST") return false;
  throw error;
}

/** Longest target of a link, in bytes (PATH_MAX). */
const LINK_LIMIT_BYTES = 4096;
const NO_NAME = Buffer.alloc(1);

/** Target of the link that a handle is of. */
export function readLink(fd: number, path: string): Buffer {
  const target = Buffer.alloc(LINK_LIMIT_BYTES + 1);
  const length = check(rawReadlinkat(fd, NO_NAME, target, LINK_LIMIT_BYTES), "read link", path);
  return target.subarray(0, length + 1);
}

/** fchownat(2), no link followed. */
export function setOwnerAt(
  directory: number,
  name: Buffer,
  owner: { readonly uid: bigint; readonly gid: bigint },
  path: string,
): void {
  const { uid, gid } = owner;
  const result = rawFchownat(directory, name, Number(uid), Number(gid), AT_SYMLINK_NOFOLLOW);
  check(result, "set owner of", path);
}

/** fchmodat(2), which follows a link: not for one. */
export function setModeAt(directory: number, name: Buffer, mode: number, path: string): void {
  check(rawFchmodat(directory, name, mode, 0), "set mode of", path);
}

const NS_PER_S = 1_000_000_000n;

/** utimensat(2), no link followed. */
export function setTimesAt(
  directory: number,
  name: Buffer,
  times: { readonly atimeNs: bigint; readonly mtimeNs: bigint },
  path: string,
): void {
  const specs = Buffer.alloc(32);
  for (const [index, ns] of [times.atimeNs, times.mtimeNs].entries()) {
    // Before 1970 the seconds are negative, the nanoseconds never.
    const rest = ((ns % NS_PER_S) + NS_PER_S) % NS_PER_S;
    specs.writeBigInt64LE((ns - rest) / NS_PER_S, index * 16);
    specs.writeBigInt64LE(rest, index * 16 + 8);
  }
  check(rawUtimensat(directory, name, specs, AT_SYMLINK_NOFOLLOW), "set times of", path);
}

/** Most bytes of an attribute, and of the list of an inode's (XATTR_SIZE_MAX, XATTR_LIST_MAX). */
const XATTR_LIMIT_BYTES = 65_536;
/** As a rule they have fewer; the kernel takes memory for as many as are asked for. */
const XATTR_RULE_BYTES = 512;
const list = Buffer.alloc(XATTR_LIMIT_BYTES);
const value = Buffer.alloc(XATTR_LIMIT_BYTES);
const NO_ATTRIBUTES: readonly string[] = ["EOPNOTSUPP", "ENOTSUP"];

/** What has attributes: an open file or directory; the way to it ({@link handleOf}) where the descriptor is a mere handle (O_PATH). */
export type AttributeOwner = number | Buffer;

/** Names of the extended attributes, each with its NUL; access control lists are among them. */
export function listAttributes(owner: AttributeOwner, path: string): readonly Buffer[] {
  const length = inFull((size) =>
    typeof owner === "number" ? rawFlistxattr(owner, list, size) : rawListxattr(owner, list, size),
  );
  if (length < 0) {
    const error = failed("list attributes of", path);
    if (NO_ATTRIBUTES.includes(error.errno)) return [];
    throw error;
  }
  const names: Buffer[] = [];
  for (let start = 0; start < length; ) {
    const end = list.indexOf(0, start) + 1;
    names.push(Buffer.from(list.subarray(start, end)));
    start = end;
  }
  return names;
}

/** The value of one extended attribute; undefined: it is gone by now. */
export function readAttribute(
  owner: AttributeOwner,
  name: Buffer,
  path: string,
): Buffer | undefined {
  const length = readValue(owner, name, path);
  return length === undefined ? undefined : Buffer.from(value.subarray(0, length));
}

/** Copies one extended attribute; one that is gone by now is left out. */
export function copyAttribute(
  from: AttributeOwner,
  to: AttributeOwner,
  name: Buffer,
  path: string,
): void {
  const length = readValue(from, name, path);
  if (length === undefined) return;
  const result =
    typeof to === "number"
      ? rawFsetxattr(to, name, value, length, 0)
      : rawSetxattr(to, name, value, length, 0);
  check(result, `set attribute ${name.toString("utf8", 0, name.length - 1)} of`, path);
}

/** Into `value`; answers its length. */
function readValue(owner: AttributeOwner, name: Buffer, path: string): number | undefined {
  const length = inFull((size) =>
    typeof owner === "number"
      ? rawFgetxattr(owner, name, value, size)
      : rawGetxattr(owner, name, value, size),
  );
  if (length >= 0) return length;
  const error = failed("read attribute of", path);
  if (error.errno === "ENODATA") return undefined;
  throw error;
}

function inFull(read: (sizeBytes: number) => number): number {
  const length = read(XATTR_RULE_BYTES);
  const isMore = length < 0 && errnoName(koffi.errno()) === "ERANGE";
  return isMore ? read(XATTR_LIMIT_BYTES) : length;
}

/** syncfs(2): all of the file system is written out. */
export function syncFileSystem(fd: number, path: string): void {
  check(rawSyncfs(fd), "sync", path);
}
