import { ioctl } from "./libc.ts";

/*
 * The ioctls of btrfs by number and structure (linux/btrfs.h and linux/btrfs_tree.h, 6.1), each on an open directory.
 * Integers are little-endian: btrfs runs on other machines, we do not.
 */

const MAGIC = 0x94;
/** asm-generic/ioctl.h */
const request = (direction: number, number: number, bytes: number): number =>
  ((direction << 30) | (bytes << 16) | (MAGIC << 8) | number) >>> 0;
const WRITE = 1;
const READ = 2;

const ARGS_BYTES = 4096;
const SUBVOL_CREATE = request(WRITE, 14, ARGS_BYTES);
const TREE_SEARCH = request(READ | WRITE, 17, ARGS_BYTES);
const INO_LOOKUP = request(READ | WRITE, 18, ARGS_BYTES);
const WAIT_SYNC = request(WRITE, 22, 8);
const SNAP_CREATE_V2 = request(WRITE, 23, ARGS_BYTES);
const START_SYNC = request(READ, 24, 8);
const SUBVOL_GETFLAGS = request(READ, 25, 8);
const SUBVOL_SETFLAGS = request(WRITE, 26, 8);
const FS_INFO = request(READ, 31, 1024);
const QUOTA_CTL = request(READ | WRITE, 40, 16);
const QGROUP_CREATE = request(WRITE, 42, 16);
const QGROUP_LIMIT = request(READ, 43, 48);
const QUOTA_RESCAN = request(WRITE, 44, 64);
const QUOTA_RESCAN_WAIT = request(0, 46, 0);
const GET_SUBVOL_INFO = request(READ, 60, 504);
const SNAP_DESTROY_V2 = request(WRITE, 63, ARGS_BYTES);

const SUBVOL_RDONLY = 2n;
const SUBVOL_SPEC_BY_ID = 16n;
const QUOTA_ENABLE = 1n;
const LIMIT_REFERENCED = 1n;
const U64_MAX = 0xffff_ffff_ffff_ffffn;
/** The tree that has the references from subvolume to subvolume, and the type of such a reference. */
const ROOT_TREE = 1n;
const ROOT_REF = 156;
/** Inode of every subvolume's root. */
export const ROOT_INODE = 256n;

/** What a call is about, for messages. */
export interface CallOn {
  readonly call: string;
  readonly path: string;
}

function run(fd: number, number: number, structure: Buffer, { call, path }: CallOn): void {
  ioctl(fd, number, structure, call, path);
}

/** A new subvolume in the directory `fd`. */
export function createSubvolumeIn(fd: number, name: string, on: CallOn): void {
  const args = Buffer.alloc(ARGS_BYTES);
  args.write(name, 8);
  run(fd, SUBVOL_CREATE, args, on);
}

/** A snapshot of the subvolume `source` in the directory `fd`. */
export function snapshotInto(
  fd: number,
  name: string,
  source: { readonly fd: number; readonly readOnly: boolean },
  on: CallOn,
): void {
  const args = Buffer.alloc(ARGS_BYTES);
  args.writeBigInt64LE(BigInt(source.fd), 0);
  args.writeBigUInt64LE(source.readOnly ? SUBVOL_RDONLY : 0n, 16);
  args.write(name, 56);
  run(fd, SNAP_CREATE_V2, args, on);
}

/** Removes a subvolume, wherever it lies. Kernel 5.7. */
export function destroySubvolume(fd: number, id: bigint, on: CallOn): void {
  const args = Buffer.alloc(ARGS_BYTES);
  args.writeBigUInt64LE(SUBVOL_SPEC_BY_ID, 16);
  args.writeBigUInt64LE(id, 56);
  run(fd, SNAP_DESTROY_V2, args, on);
}

/** A subvolume that lies in another one: in which directory, under which name. */
export interface SubvolumeReference {
  readonly id: bigint;
  readonly directory: bigint;
  readonly name: string;
}

/** The subvolumes that lie directly in the subvolume `parent`, wherever in its tree. */
export function listSubvolumesIn(fd: number, parent: bigint, on: CallOn): SubvolumeReference[] {
  const found: SubvolumeReference[] = [];
  for (let next = 0n; next <= U64_MAX; ) {
    const batch = searchReferences(fd, parent, next, on);
    const last = batch.at(-1);
    if (last === undefined) break;
    found.push(...batch);
    next = last.id + 1n;
  }
  return found;
}

function searchReferences(fd: number, parent: bigint, from: bigint, on: CallOn) {
  const args = Buffer.alloc(ARGS_BYTES);
  // struct btrfs_ioctl_search_key: tree, objectid, offset and transid from and to, type from and to, count.
  const key = [ROOT_TREE, parent, parent, from, U64_MAX, 0n, U64_MAX];
  for (const [index, value] of key.entries()) args.writeBigUInt64LE(value, index * 8);
  args.writeUInt32LE(ROOT_REF, 56);
  args.writeUInt32LE(ROOT_REF, 60);
  args.writeUInt32LE(ARGS_BYTES, 64);
  run(fd, TREE_SEARCH, args, on);
  const found: SubvolumeReference[] = [];
  let at = 104;
  for (let left = args.readUInt32LE(64); left > 0; left--) {
    // struct btrfs_ioctl_search_header (32 bytes), then struct btrfs_root_ref and the name.
    const nameBytes = args.readUInt16LE(at + 32 + 16);
    found.push({
      id: args.readBigUInt64LE(at + 16),
      directory: args.readBigUInt64LE(at + 32),
      name: args.toString("utf8", at + 32 + 18, at + 32 + 18 + nameBytes),
    });
    at += 32 + args.readUInt32LE(at + 28);
  }
  return found;
}

/** Path of a directory within its subvolume, empty or ending in "/". */
export function pathOfInode(fd: number, subvolume: bigint, inode: bigint, on: CallOn): string {
  const args = Buffer.alloc(ARGS_BYTES);
  args.writeBigUInt64LE(subvolume, 0);
  args.writeBigUInt64LE(inode, 8);
  run(fd, INO_LOOKUP, args, on);
  return args.toString("utf8", 16, args.indexOf(0, 16));
}

/** Id of the subvolume that an open file or directory lies in. */
export function subvolumeIdOf(fd: number, on: CallOn): bigint {
  const args = Buffer.alloc(ARGS_BYTES);
  args.writeBigUInt64LE(ROOT_INODE, 8);
  run(fd, INO_LOOKUP, args, on);
  return args.readBigUInt64LE(0);
}

/** Of an open subvolume. */
export function isSubvolumeReadOnly(fd: number, on: CallOn): boolean {
  return (readFlags(fd, on) & SUBVOL_RDONLY) !== 0n;
}

/** Which subvolume one was made from, and commits by their number. */
export interface SubvolumeHistory {
  readonly uuid: string;
  /** Of the one that it is a snapshot of; zeros: of none. */
  readonly parentUuid: string;
  /** The last commit that changed it. */
  readonly changedIn: bigint;
  /** The commit that made it. */
  readonly madeIn: bigint;
}

/** Of an open subvolume. Kernel 4.18. */
export function readHistory(fd: number, on: CallOn): SubvolumeHistory {
  const info = Buffer.alloc(504);
  run(fd, GET_SUBVOL_INFO, info, on);
  return {
    uuid: info.toString("hex", 296, 312),
    parentUuid: info.toString("hex", 312, 328),
    changedIn: info.readBigUInt64LE(280),
    madeIn: info.readBigUInt64LE(352),
  };
}

/** Of an open subvolume; the same again does nothing. */
export function makeSubvolumeReadOnly(fd: number, readOnly: boolean, on: CallOn): void {
  const flags = readFlags(fd, on);
  const wanted = readOnly ? flags | SUBVOL_RDONLY : flags & ~SUBVOL_RDONLY;
  if (wanted !== flags) run(fd, SUBVOL_SETFLAGS, u64s(wanted), on);
}

function readFlags(fd: number, on: CallOn): bigint {
  const flags = u64s(0n);
  run(fd, SUBVOL_GETFLAGS, flags, on);
  return flags.readBigUInt64LE(0);
}

/** Commits the running transaction, and waits for it. Writes out no file's data. */
export function commitTransaction(fd: number, on: CallOn): void {
  const transaction = u64s(0n);
  run(fd, START_SYNC, transaction, on);
  run(fd, WAIT_SYNC, transaction, on);
}

/** Id of the file system, as sysfs spells it. */
export function fileSystemIdOf(fd: number, on: CallOn): string {
  const info = Buffer.alloc(1024);
  run(fd, FS_INFO, info, on);
  const hex = info.toString("hex", 16, 32);
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** Turns full qgroups on, and waits for the count that this begins. On already does nothing. */
export function enableQgroups(fd: number, on: CallOn): void {
  run(fd, QUOTA_CTL, u64s(QUOTA_ENABLE, 0n), on);
  run(fd, QUOTA_RESCAN_WAIT, u64s(0n), on);
}

/** Counts everything again, and waits for it. */
export function recountQgroups(fd: number, on: CallOn): void {
  run(fd, QUOTA_RESCAN, Buffer.alloc(64), on);
  run(fd, QUOTA_RESCAN_WAIT, u64s(0n), on);
}

/** Limit on the referenced bytes of a subvolume; null lifts it. */
export function limitQgroup(fd: number, id: bigint, bytes: number | null, on: CallOn): void {
  const limit = bytes === null ? U64_MAX : BigInt(bytes);
  run(fd, QGROUP_LIMIT, u64s(id, LIMIT_REFERENCED, limit, 0n, 0n, 0n), on);
}

/** What sysfs says of a limit, as `limitQgroup` takes it. */
export function limitBytesOf(flags: bigint, limit: bigint): number | null {
  return (flags & LIMIT_REFERENCED) === 0n || limit === U64_MAX ? null : Number(limit);
}

/** Removes the qgroup of a subvolume that is gone. */
export function removeQgroup(fd: number, id: bigint, on: CallOn): void {
  run(fd, QGROUP_CREATE, u64s(0n, id), on);
}

function u64s(...values: readonly bigint[]): Buffer {
  const buffer = Buffer.alloc(values.length * 8);
  for (const [index, value] of values.entries()) buffer.writeBigUInt64LE(value, index * 8);
  return buffer;
}
