import { closeSync, constants as fs, fstatSync, lstatSync, openSync, rmSync } from "node:fs";
import type { MountRequest } from "../core/ports/kernel.ts";
import {
  attempt,
  bindWith,
  errnoOfCall,
  ioctlNumber,
  mount,
  mountByParts,
  SyscallError,
  unmount,
  withFile,
} from "./libc.ts";
import { attachLoop, detachLoop, findLoops, releaseLoopAfterUse } from "./syscalls-loop.ts";

// linux/mount.h (6.1)
const MS_BIND = 4096;
const MS_REC = 16384;
const FLAGS: Readonly<Record<string, number>> = {
  ro: 1,
  rw: 0,
  nosuid: 2,
  nodev: 4,
  noexec: 8,
  sync: 16,
  dirsync: 128,
  noatime: 1024,
  nodiratime: 2048,
  relatime: 1 << 21,
  strictatime: 1 << 24,
  lazytime: 1 << 25,
};
const ATTR_ATIME = 0x70;
/** Bits that a bind can set, of a mount, not of its file system. */
const ATTRIBUTES: Readonly<Record<string, { readonly set: number; readonly clear?: number }>> = {
  ro: { set: 1 },
  rw: { set: 0 },
  nosuid: { set: 2 },
  nodev: { set: 4 },
  noexec: { set: 8 },
  relatime: { set: 0, clear: ATTR_ATIME },
  noatime: { set: 0x10, clear: ATTR_ATIME },
  strictatime: { set: 0x20, clear: ATTR_ATIME },
  nodiratime: { set: 0x80 },
};
/** Most bytes of options for one call: mount(2) cuts off the rest of its page without a word. */
const DATA_LIMIT_BYTES = 4095;
/** Most bytes of one option's value (fsconfig(2)). */
const PART_LIMIT_BYTES = 255;
const UMOUNT_NOFOLLOW = 8;
/** How often the device of a file may be gone when it is to be mounted. */
const ATTACH_LIMIT = 20;
/** How long a device that is being detached is waited for before the next attempt, in milliseconds. In a thread of its own. */
const DETACH_WAIT_MS = 50;
const SMALLEST_BLOCK_BYTES = 512;

/** `Kernel.mount`. */
export function mountRequest({ type, source, target, options }: MountRequest): void {
  if (type === "bind") {
    bind(source, target, options);
    return;
  }
  if (source.startsWith("/") && lstatSync(source, { throwIfNoEntry: false })?.isFile()) {
    mountFile({ type, source, target, options });
    return;
  }
  const isFlag = (option: string): boolean => Object.hasOwn(FLAGS, option);
  const flags = options.filter(isFlag).reduce((sum, option) => sum | (FLAGS[option] ?? 0), 0);
  const data = options.filter((option) => !isFlag(option)).join(",");
  if (Buffer.byteLength(data) > DATA_LIMIT_BYTES) {
    mountLong({ type, source, target, options });
    return;
  }
  mount(source, target, type, flags, data === "" ? null : data);
  if (source.startsWith("/dev/loop")) releaseLoopAfterUse(source);
}

/** An overlay's layer separator, unless a backslash is before it. */
const LAYER_END = /(?<!\\):/;

/** More options than mount(2) takes in one piece. */
function mountLong({ type, source, target, options }: MountRequest): void {
  let attributes = 0;
  const parts = options.flatMap((option): (readonly [string, string | null])[] => {
    if (option === "rw") return [];
    const attribute = Object.hasOwn(ATTRIBUTES, option) ? ATTRIBUTES[option] : undefined;
    attributes |= attribute?.set ?? 0;
    if (attribute !== undefined && option !== "ro") return [];
    const equals = option.indexOf("=");
    if (equals === -1) return [[option, null]];
    const [name, value] = [option.slice(0, equals), option.slice(equals + 1)];
    if (type !== "overlay" || name !== "lowerdir") return [[name, value]];
    return value.split(LAYER_END).map((layer) => ["lowerdir+", layer.replaceAll("\\:", ":")]);
  });
  if (parts.some(([, value]) => Buffer.byteLength(value ?? "") > PART_LIMIT_BYTES)) {
    throw new SyscallError("mount", `${source} on ${target}`, "E2BIG");
  }
  mountByParts({ type, source, target }, parts, attributes);
}

/** Never by a second device: two would be two file systems on one file, each unaware of what the other writes. */
function mountFile(request: MountRequest): void {
  let blockBytes = 0;
  for (let attempt = 1; ; attempt++) {
    const [attached] = findLoops(request.source);
    const device = attached ?? attachLoop(request.source, blockBytes);
    try {
      mountRequest({ ...request, source: device });
      return;
    } catch (thrown) {
      if (attached === undefined) detachLoop(device);
      if (attached === undefined && errnoOfCall(thrown) === "EINVAL" && blockBytes === 0) {
        // For direct I/O to a file that shares bytes the kernel makes the device's blocks as large as those of the
        // file's own disk (seen in 6.18 on XFS), and then refuses a file system with smaller ones.
        blockBytes = SMALLEST_BLOCK_BYTES;
        continue;
      }
      if (attached === undefined || attempt >= ATTACH_LIMIT) throw thrown;
      // A device that was found may just have been detaching itself after its last use.
      if (!findLoops(request.source).includes(attached)) continue;
      // Or it is what a mount that never came to be attached, with blocks too large, and somebody still looks at it.
      if (errnoOfCall(thrown) !== "EINVAL") throw thrown;
      detachLoop(attached);
      blockBytes = SMALLEST_BLOCK_BYTES;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, DETACH_WAIT_MS);
    }
  }
}

function bind(source: string, target: string, options: readonly string[]): void {
  const recursive = options.includes("rbind");
  let set = 0;
  let clear = 0;
  for (const option of options) {
    if (option === "bind" || option === "rbind") continue;
    const attribute = Object.hasOwn(ATTRIBUTES, option) ? ATTRIBUTES[option] : undefined;
    if (attribute === undefined) {
      const why = `a bind mount has no option ${JSON.stringify(option)}`;
      throw new SyscallError("mount", `${source} on ${target}`, "EINVAL", { why });
    }
    set |= attribute.set;
    clear |= attribute.clear ?? 0;
  }
  if (set === 0 && clear === 0) {
    mount(source, target, null, MS_BIND | (recursive ? MS_REC : 0), null);
  } else bindWith(source, target, { set, clear, recursive });
}

/** `Kernel.unmount`. */
export function unmountTarget(target: string): void {
  try {
    unmount(target, UMOUNT_NOFOLLOW);
  } catch (thrown) {
    // umount2(2): EINVAL is what is not a mount point.
    if (errnoOfCall(thrown) !== "EINVAL") throw thrown;
    const meaning = { code: "not_found", why: "it is not a mount point" } as const;
    throw new SyscallError("unmount", target, "EINVAL", meaning);
  }
}

/** linux/fs.h (6.1) */
const FICLONE = 0x40049409;
/** ioctl_ficlone(2): what the kernel says of files that can share no bytes. */
const CANNOT_CLONE = ["EXDEV", "EINVAL", "ENOTTY", "EOPNOTSUPP", "ENOTSUP"];

/** `Kernel.cloneFile`. */
export function cloneFile(source: string, target: string): void {
  const path = `${source} to ${target}`;
  withFile("clone", source, fs.O_RDONLY | fs.O_NOFOLLOW, (from) => {
    if (!fstatSync(from).isFile()) {
      throw new SyscallError("clone", path, "EINVAL", { why: "the source is no regular file" });
    }
    const flags = fs.O_WRONLY | fs.O_CREAT | fs.O_EXCL;
    const to = attempt("clone", path, () => openSync(target, flags, 0o600));
    try {
      ioctlNumber(to, FICLONE, from, "clone", path);
    } catch (thrown) {
      rmSync(target, { force: true });
      const errno = errnoOfCall(thrown) ?? "";
      throw CANNOT_CLONE.includes(errno) ? new SyscallError("clone", path, "EOPNOTSUPP") : thrown;
    } finally {
      closeSync(to);
    }
  });
}
