import { closeSync, constants as fs, fstatSync, openSync, readFileSync, statfsSync } from "node:fs";
import { basename, dirname } from "node:path";
import type { QuotaUsage, SubvolumeInfo } from "../core/ports/kernel.ts";
import { ioctl, SyscallError } from "./libc.ts";

// linux/btrfs.h (6.1): numbers made as asm-generic/ioctl.h does.
const MAGIC = 0x94;
const io = (number: number): number => (MAGIC << 8) | number;
const iow = (number: number, bytes: number): number => (1 << 30) | (bytes << 16) | io(number);
const ior = (number: number, bytes: number): number => (2 * 2 ** 30 + (bytes << 16)) | io(number);
const unsigned = (request: number): number => request >>> 0;
const iowr = (number: number, bytes: number): number =>
  unsigned((3 << 30) | (bytes << 16) | io(number));

const ARGS_BYTES = 4096;
const SUBVOL_CREATE = iow(14, ARGS_BYTES);
const SNAP_DESTROY = iow(15, ARGS_BYTES);
const INO_LOOKUP = iowr(18, ARGS_BYTES);
const WAIT_SYNC = iow(22, 8);
const SNAP_CREATE_V2 = iow(23, ARGS_BYTES);
const START_SYNC = unsigned(ior(24, 8));
const SUBVOL_GETFLAGS = unsigned(ior(25, 8));
const SUBVOL_SETFLAGS = iow(26, 8);
const FS_INFO = unsigned(ior(31, 1024));
const QUOTA_CTL = iowr(40, 16);
const QGROUP_CREATE = iow(42, 16);
const QGROUP_LIMIT = unsigned(ior(43, 48));
const QUOTA_RESCAN_WAIT = io(46);
const GET_SUBVOL_ROOTREF = iowr(61, ARGS_BYTES);
const INO_LOOKUP_USER = iowr(62, ARGS_BYTES);

const NAME = { plain: 8, v2: 56 } as const;
const SUBVOL_RDONLY = 2n;
const QUOTA_ENABLE = 1n;
const LIMIT_REFERENCED = 1n;
const NO_LIMIT = 0xffff_ffff_ffff_ffffn;
/** Inode of every subvolume's root. */
const ROOT_INODE = 256n;
const BTRFS_SUPER_MAGIC = 0x9123683e;

/** `Kernel.createSubvolume`. */
export function createSubvolume(path: string): void {
  ensureAbsentOnBtrfs("create subvolume", path);
  const args = Buffer.alloc(ARGS_BYTES);
  args.write(basename(path), NAME.plain);
  withDirectory(dirname(path), (parent) =>
    ioctl(parent, SUBVOL_CREATE, args, "create subvolume", path),
  );
}

/** `Kernel.snapshotSubvolume`. */
export function snapshotSubvolume(source: string, target: string, readOnly: boolean): void {
  withSubvolume(source, (fd) => {
    const args = Buffer.alloc(ARGS_BYTES);
    args.writeBigInt64LE(BigInt(fd), 0);
    if (readOnly) args.writeBigUInt64LE(SUBVOL_RDONLY, 16);
    args.write(basename(target), NAME.v2);
    withDirectory(dirname(target), (parent) =>
      ioctl(parent, SNAP_CREATE_V2, args, "snapshot", `${source} to ${target}`),
    );
  });
}

/**
 * `Kernel.removeSubvolume`.
 * @returns Ids of the subvolumes removed: their qgroups stay behind.
 */
export function removeSubvolume(path: string): readonly number[] {
  const info = findSubvolume(path);
  if (info === undefined) {
    if (exists(path))
      throw new SyscallError("remove subvolume", `${path}, which is a directory`, "EINVAL");
    return [];
  }
  const nested = withDirectory(path, (fd) =>
    childrenOf(fd, path).flatMap((child) => removeSubvolume(child)),
  );
  const args = Buffer.alloc(ARGS_BYTES);
  args.write(basename(path), NAME.plain);
  withDirectory(dirname(path), (parent) =>
    ioctl(parent, SNAP_DESTROY, args, "remove subvolume", path),
  );
  return [...nested, info.id];
}

/** Paths of the subvolumes that lie directly in this one, wherever in its tree: a container can make them. */
function childrenOf(fd: number, path: string): readonly string[] {
  const refs = Buffer.alloc(ARGS_BYTES);
  const found: string[] = [];
  for (;;) {
    const more = ask(
      () => ioctl(fd, GET_SUBVOL_ROOTREF, refs, "list subvolumes in", path),
      "EOVERFLOW",
    );
    const count = refs.readUInt8(ARGS_BYTES - 8);
    for (let index = 0; index < count; index++) {
      const lookup = Buffer.alloc(ARGS_BYTES);
      lookup.writeBigUInt64LE(refs.readBigUInt64LE(16 + index * 16), 0);
      lookup.writeBigUInt64LE(refs.readBigUInt64LE(8 + index * 16), 8);
      ioctl(fd, INO_LOOKUP_USER, lookup, "find a subvolume in", path);
      found.push(`${path}/${textAt(lookup, 272)}${textAt(lookup, 16)}`);
    }
    if (!more) return found;
  }
}

/** True when `call` failed with `errno`, which says that there is more. */
function ask(call: () => void, errno: string): boolean {
  try {
    call();
    return false;
  } catch (thrown) {
    if (thrown instanceof SyscallError && thrown.errno === errno) return true;
    throw thrown;
  }
}

/** `Kernel.findSubvolume`. */
export function findSubvolume(path: string): SubvolumeInfo | undefined {
  try {
    return withSubvolume(path, (fd) => ({ id: idOf(fd, path), readOnly: isReadOnly(fd, path) }));
  } catch (thrown) {
    const errno = thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
    if (errno === "ENOENT" || errno === "ENOTDIR" || errno === "ELOOP") return undefined;
    if (thrown instanceof SyscallError && thrown.errno === "EINVAL") return undefined;
    throw thrown;
  }
}

/** `Kernel.setSubvolumeReadOnly`. */
export function setSubvolumeReadOnly(path: string, readOnly: boolean): void {
  withSubvolume(path, (fd) => {
    const flags = readFlags(fd, path);
    const wanted = readOnly ? flags | SUBVOL_RDONLY : flags & ~SUBVOL_RDONLY;
    if (wanted === flags) return;
    ioctl(fd, SUBVOL_SETFLAGS, u64(wanted), "set flags of", path);
  });
}

/** `Kernel.commitSubvolumes`: commits the running transaction, without writing out everybody's data first. */
export function commitSubvolumes(path: string): void {
  withDirectory(path, (fd) => {
    const transaction = Buffer.alloc(8);
    ioctl(fd, START_SYNC, transaction, "begin a commit on", path);
    ioctl(fd, WAIT_SYNC, transaction, "wait for a commit on", path);
  });
}

/** `Kernel.enableQuotas`: full qgroups. */
export function enableQuotas(path: string): void {
  withDirectory(path, (fd) => {
    const args = Buffer.alloc(16);
    args.writeBigUInt64LE(QUOTA_ENABLE, 0);
    ioctl(fd, QUOTA_CTL, args, "turn on quotas of", path);
    ioctl(fd, QUOTA_RESCAN_WAIT, Buffer.alloc(8), "wait for quotas of", path);
  });
}

/** `Kernel.limitSubvolume`. Quotas off is `ENOTCONN`, as the kernel says. */
export function limitSubvolume(path: string, sizeBytes: number | null): void {
  withSubvolume(path, (fd) => {
    const args = Buffer.alloc(48);
    args.writeBigUInt64LE(BigInt(idOf(fd, path)), 0);
    args.writeBigUInt64LE(LIMIT_REFERENCED, 8);
    args.writeBigUInt64LE(sizeBytes === null ? NO_LIMIT : BigInt(sizeBytes), 16);
    ioctl(fd, QGROUP_LIMIT, args, "limit", path);
  });
}

/** `Kernel.subvolumeUsage`, from sysfs. */
export function subvolumeUsage(path: string): QuotaUsage | undefined {
  return withSubvolume(path, (fd) => {
    const group = `/sys/fs/btrfs/${fsidOf(fd, path)}/qgroups/0_${idOf(fd, path)}`;
    const read = (name: string): bigint => BigInt(readFileSync(`${group}/${name}`, "utf8").trim());
    try {
      const limited = (read("limit_flags") & LIMIT_REFERENCED) !== 0n;
      const limit = read("max_referenced");
      return {
        referencedBytes: Number(read("referenced")),
        exclusiveBytes: Number(read("exclusive")),
        limitBytes: limited && limit !== NO_LIMIT ? Number(limit) : null,
      };
    } catch (thrown) {
      if (thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT") return undefined;
      throw thrown;
    }
  });
}

/** Removes the qgroups of subvolumes that are gone. @returns Ids whose subvolume btrfs has not cleaned away yet. */
export function removeQgroups(path: string, ids: readonly number[]): readonly number[] {
  return withDirectory(path, (fd) =>
    ids.filter((id) => {
      const args = Buffer.alloc(16);
      args.writeBigUInt64LE(BigInt(id), 8);
      return ask(() => {
        // Gone already, or quotas are off: nothing to remove.
        if (ask(() => ioctl(fd, QGROUP_CREATE, args, "remove qgroup of", path), "ENOENT")) return;
      }, "EBUSY");
    }),
  );
}

function idOf(fd: number, path: string): number {
  const args = Buffer.alloc(ARGS_BYTES);
  args.writeBigUInt64LE(ROOT_INODE, 8);
  ioctl(fd, INO_LOOKUP, args, "look up", path);
  return Number(args.readBigUInt64LE(0));
}

function isReadOnly(fd: number, path: string): boolean {
  return (readFlags(fd, path) & SUBVOL_RDONLY) !== 0n;
}

function readFlags(fd: number, path: string): bigint {
  const flags = Buffer.alloc(8);
  ioctl(fd, SUBVOL_GETFLAGS, flags, "read flags of", path);
  return flags.readBigUInt64LE(0);
}

function fsidOf(fd: number, path: string): string {
  const info = Buffer.alloc(1024);
  ioctl(fd, FS_INFO, info, "identify", path);
  const hex = info.toString("hex", 16, 32);
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

function ensureAbsentOnBtrfs(call: string, path: string): void {
  const parent = dirname(path);
  if (statfsSync(parent).type !== BTRFS_SUPER_MAGIC)
    throw new SyscallError(call, path, "EOPNOTSUPP");
}

function exists(path: string): boolean {
  try {
    closeSync(openSync(path, fs.O_RDONLY | fs.O_NOFOLLOW | fs.O_NONBLOCK));
    return true;
  } catch (thrown) {
    return !(thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT");
  }
}

/** Works on an open directory that no symbolic link in its last component led to. */
function withDirectory<T>(path: string, work: (fd: number) => T): T {
  const fd = openSync(path, fs.O_RDONLY | fs.O_DIRECTORY | fs.O_NOFOLLOW);
  try {
    return work(fd);
  } finally {
    closeSync(fd);
  }
}

/** The same for the root of a subvolume; anything else is `EINVAL`. */
function withSubvolume<T>(path: string, work: (fd: number) => T): T {
  return withDirectory(path, (fd) => {
    const isRoot = fstatSync(fd, { bigint: true }).ino === ROOT_INODE;
    if (!isRoot || statfsSync(`/proc/self/fd/${fd}`).type !== BTRFS_SUPER_MAGIC) {
      throw new SyscallError("use", `${path}, which is no subvolume`, "EINVAL");
    }
    return work(fd);
  });
}

function textAt(buffer: Buffer, offset: number): string {
  return buffer.toString("utf8", offset, buffer.indexOf(0, offset));
}

function u64(value: bigint): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(value, 0);
  return buffer;
}
