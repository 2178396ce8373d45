import { closeSync, constants as fs, openSync } from "node:fs";
import koffi from "koffi";
import type { FailureCode } from "../core/failure.ts";
import { errnoName, errnoOf } from "./errno.ts";

/*
 * The calls of libc that Node does not have. For worker threads only: every one of them can wait. A call that fails
 * throws with the errno's name, read before anything else can change it.
 */

const libc = koffi.load("libc.so.6");
const rawMount = libc.func("int mount(str, str, str, ulong, str)");
const rawUmount = libc.func("int umount2(str, int)");
const rawIoctl = libc.func("int ioctl(int, ulong, void *)");
const rawIoctlNumber = libc.func("ioctl", "int", ["int", "ulong", "long"]);
const rawSyncfs = libc.func("int syncfs(int)");
const rawClose = libc.func("int close(int)");
const rawPipe = libc.func("int pipe2(void *, int)");
const rawFcntl = libc.func("fcntl", "int", ["int", "int", "int"]);
const rawRename = libc.func("int renameat2(int, str, int, str, uint)");
const rawSetScheduler = libc.func("int sched_setscheduler(int, int, void *)");
const rawYield = libc.func("int sched_yield()");
// Not in every libc that we meet (glibc 2.36), so by number, the same on all architectures since 5.1.
const rawOpenTree = libc.func("syscall", "long", ["long", "int", "str", "uint"]);
const rawMoveMount = libc.func("syscall", "long", ["long", "int", "str", "int", "str", "uint"]);
const rawFsopen = libc.func("syscall", "long", ["long", "str", "uint"]);
const rawFsconfig = libc.func("syscall", "long", ["long", "int", "uint", "str", "str", "int"]);
const rawFsmount = libc.func("syscall", "long", ["long", "int", "uint", "uint"]);
const rawMountSetattr = libc.func("syscall", "long", [
  ...["long", "int", "str", "uint", "void *", "ulong"],
]);

/** A call of the system that failed. `code` and `why` are set where the errno alone would mislead. */
export class SyscallError extends Error {
  readonly call: string;
  readonly path: string;
  /** Name of the errno, such as `EBUSY`. */
  readonly errno: string;
  readonly code: FailureCode | undefined;
  readonly why: string | undefined;

  constructor(
    call: string,
    path: string,
    errno: string,
    meaning: { readonly code?: FailureCode; readonly why?: string } = {},
  ) {
    super(`${call} ${path}: ${errno}`);
    this.call = call;
    this.path = path;
    this.errno = errno;
    this.code = meaning.code;
    this.why = meaning.why;
  }
}

function check(result: number, call: string, path: string): number {
  if (result >= 0) return result;
  throw new SyscallError(call, path, errnoName(koffi.errno()));
}

/** Makes a call of Node's; what it throws becomes a `SyscallError` of this call and path. */
export function attempt<T>(call: string, path: string, work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (thrown instanceof SyscallError || errno === undefined) throw thrown;
    throw new SyscallError(call, path, errno);
  }
}

/** The errno of a failed call; undefined for anything else. */
export function errnoOfCall(thrown: unknown): string | undefined {
  return thrown instanceof SyscallError ? thrown.errno : undefined;
}

/** Opens, works, closes. */
export function withFile<T>(
  call: string,
  path: string,
  flags: number,
  work: (fd: number) => T,
  named: string = path,
): T {
  const fd = attempt(call, named, () => openSync(path, flags | fs.O_NONBLOCK));
  try {
    return work(fd);
  } finally {
    closeSync(fd);
  }
}

/** mount(2). */
export function mount(
  source: string,
  target: string,
  type: string | null,
  flags: number,
  data: string | null,
): void {
  check(rawMount(source, target, type, flags, data), "mount", `${source} on ${target}`);
}

/** umount2(2). */
export function unmount(target: string, flags: number): void {
  check(rawUmount(target, flags), "unmount", target);
}

/** ioctl(2) with a structure, which the kernel reads and writes. @param call For messages. */
export function ioctl(
  fd: number,
  request: number,
  structure: Buffer,
  call: string,
  path: string,
): number {
  return check(rawIoctl(fd, request, structure), call, path);
}

/** ioctl(2) with a number. */
export function ioctlNumber(
  fd: number,
  request: number,
  value: number,
  call: string,
  path: string,
): number {
  return check(rawIoctlNumber(fd, request, value), call, path);
}

/** syncfs(2). */
export function syncFileSystem(fd: number, path: string): void {
  check(rawSyncfs(fd), "write out", path);
}

/** mknod(2); not in every libc, so looked up when needed. */
export function makeNode(path: string, mode: number, device: number): void {
  const rawMknod = libc.func("int mknod(str, uint, ulong)");
  check(rawMknod(path, mode, device), "make device", path);
}

const AT_FDCWD = -100;
const RENAME_NOREPLACE = 1;

/** renameat2(2) that never replaces the target. */
export function renameNoReplace(from: string, to: string): void {
  check(rawRename(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE), "rename", `${from} to ${to}`);
}

// linux/mount.h, linux/fcntl.h (6.1)
const OPEN_TREE_CLONE = 1;
const AT_EMPTY_PATH = 0x1000;
const AT_RECURSIVE = 0x8000;
const MOVE_MOUNT_F_EMPTY_PATH = 0x4;
const MOVE_MOUNT_T_SYMLINKS = 0x10;
const SYS_OPEN_TREE = 428;
const SYS_MOVE_MOUNT = 429;
const SYS_MOUNT_SETATTR = 442;
const O_CLOEXEC = 0o2000000;

/** A bind whose attributes (`MOUNT_ATTR_…` to set and to clear) hold from its first instant. Kernel 5.12. */
export function bindWith(
  source: string,
  target: string,
  attributes: { readonly set: number; readonly clear: number; readonly recursive: boolean },
): void {
  const path = `${source} on ${target}`;
  const recursive = attributes.recursive ? AT_RECURSIVE : 0;
  const cloning = OPEN_TREE_CLONE | O_CLOEXEC | recursive;
  const tree = check(rawOpenTree(SYS_OPEN_TREE, AT_FDCWD, source, cloning), "mount", path);
  try {
    // struct mount_attr: attr_set, attr_clr, propagation, userns_fd.
    const attr = Buffer.alloc(32);
    attr.writeBigUInt64LE(BigInt(attributes.set), 0);
    attr.writeBigUInt64LE(BigInt(attributes.clear), 8);
    const here = AT_EMPTY_PATH | recursive;
    check(rawMountSetattr(SYS_MOUNT_SETATTR, tree, "", here, attr, attr.length), "mount", path);
    const flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS;
    check(rawMoveMount(SYS_MOVE_MOUNT, tree, "", AT_FDCWD, target, flags), "mount", path);
  } finally {
    // Not Node's: it did not open it, and would wonder.
    rawClose(tree);
  }
}

const F_SETPIPE_SZ = 1031;

/** pipe2(2) of this capacity (fcntl(2), F_SETPIPE_SZ), not for children: the ends as the whole process knows them. */
export function makePipe(capacityBytes: number): {
  readonly readFd: number;
  readonly writeFd: number;
} {
  const ends = Buffer.alloc(8);
  check(rawPipe(ends, O_CLOEXEC), "make", "a pipe");
  const [readFd, writeFd] = [ends.readInt32LE(0), ends.readInt32LE(4)];
  growPipe(writeFd, capacityBytes);
  return { readFd, writeFd };
}

/** fcntl(2), F_SETPIPE_SZ. One that stays smaller serves too: only root may have any size. */
export function growPipe(descriptor: number, capacityBytes: number): void {
  rawFcntl(descriptor, F_SETPIPE_SZ, capacityBytes);
}

// linux/sched.h
const SCHED_BATCH = 3;

/**
 * sched_setscheduler(2): from now on this thread interrupts no other when it is woken, and has its turn when that waits.
 * Not where it is refused. Without SCHED_RESET_ON_FORK: systemd's `RestrictRealtime=` takes that for a real-time policy.
 */
export function neverPreempt(): void {
  // The one field of struct sched_param: the priority, none.
  rawSetScheduler(0, SCHED_BATCH, Buffer.alloc(4));
}

/** A thread of the kernel that ends a write of the disk is done in a fraction of that; in milliseconds. */
const BRIEF_MS = 0.5;

/**
 * sched_yield(2): whoever waits for this processor goes first. Without it the kernel lets a thread that is at work go on for
 * a millisecond or more, also where another is needed to end a write that somebody waits for.
 *
 * @returns False when it took long: programs that compute wait here too, and each time would cost as much again.
 */
export function giveWay(): boolean {
  const begin = performance.now();
  rawYield();
  return performance.now() - begin < BRIEF_MS;
}

const SYS_FSOPEN = 430;
const SYS_FSCONFIG = 431;
const SYS_FSMOUNT = 432;
const FSOPEN_CLOEXEC = 1;
const FSMOUNT_CLOEXEC = 1;
const FSCONFIG_SET_FLAG = 0;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_CMD_CREATE = 6;

/**
 * mount(2) with options that are told one by one, each of up to 255 bytes. Kernel 5.2.
 *
 * @param options Names with their values; null: a flag.
 * @param attributes `MOUNT_ATTR_…` of the mount.
 */
export function mountByParts(
  request: { readonly source: string; readonly target: string; readonly type: string },
  options: readonly (readonly [name: string, value: string | null])[],
  attributes: number,
): void {
  const { source, target, type } = request;
  const path = `${source} on ${target}`;
  const context = check(rawFsopen(SYS_FSOPEN, type, FSOPEN_CLOEXEC), "mount", path);
  try {
    for (const [name, value] of [["source", source] as const, ...options]) {
      const command = value === null ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING;
      check(rawFsconfig(SYS_FSCONFIG, context, command, name, value, 0), "mount", path);
    }
    check(rawFsconfig(SYS_FSCONFIG, context, FSCONFIG_CMD_CREATE, null, null, 0), "mount", path);
    const made = check(
      rawFsmount(SYS_FSMOUNT, context, FSMOUNT_CLOEXEC, attributes),
      "mount",
      path,
    );
    try {
      const flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS;
      check(rawMoveMount(SYS_MOVE_MOUNT, made, "", AT_FDCWD, target, flags), "mount", path);
    } finally {
      rawClose(made);
    }
  } finally {
    rawClose(context);
  }
}
