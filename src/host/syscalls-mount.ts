import { copyFileSync, constants as fs, rmSync } from "node:fs";
import type { MountRequest } from "../core/ports/kernel.ts";
import { mount, SyscallError, unmount } from "./libc.ts";
import { releaseLoopAfterUse } from "./syscalls-loop.ts";

// linux/mount.h (6.1)
const MS_RDONLY = 1;
const MS_REMOUNT = 32;
const MS_BIND = 4096;
const MS_REC = 16384;
const FLAGS: Readonly<Record<string, number>> = {
  ro: MS_RDONLY,
  rw: 0,
  nosuid: 2,
  nodev: 4,
  noexec: 8,
  sync: 16,
  noatime: 1024,
  nodiratime: 2048,
  bind: MS_BIND,
  rbind: MS_BIND | MS_REC,
  relatime: 1 << 21,
};
const UMOUNT_NOFOLLOW = 8;

/** mount(2) as `Kernel.mount` wants it. A bind takes its options in a second call; failing that, it is taken back. */
export function mountRequest({ type, source, target, options }: MountRequest): void {
  const named = options.filter((option) => option in FLAGS);
  const data = options.filter((option) => !(option in FLAGS)).join(",");
  const flags = named.reduce((sum, option) => sum | (FLAGS[option] ?? 0), 0);
  if (type !== "bind" && (flags & MS_BIND) === 0) {
    mount(source, target, type, flags, data === "" ? null : data);
    if (source.startsWith("/dev/loop")) releaseLoopAfterUse(source);
    return;
  }
  mount(source, target, null, MS_BIND | (flags & MS_REC), null);
  const restrictions = flags & ~(MS_BIND | MS_REC);
  if (restrictions === 0) return;
  try {
    mount(source, target, null, MS_BIND | MS_REMOUNT | restrictions, null);
  } catch (thrown) {
    unmount(target, UMOUNT_NOFOLLOW);
    throw thrown;
  }
}

/** umount2(2). What is no mount point, or absent, is `ENOENT`. */
export function unmountTarget(target: string): void {
  try {
    unmount(target, UMOUNT_NOFOLLOW);
  } catch (thrown) {
    // umount2(2) says EINVAL for what is not a mount point.
    if (thrown instanceof SyscallError && thrown.errno === "EINVAL") {
      throw new SyscallError("unmount", `${target}, which is not a mount point`, "ENOENT");
    }
    throw thrown;
  }
}

/** FICLONE to a new file; see `Kernel.cloneFile`. */
export function cloneFile(source: string, target: string): void {
  try {
    copyFileSync(source, target, fs.COPYFILE_EXCL | fs.COPYFILE_FICLONE_FORCE);
  } catch (thrown) {
    const errno = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "unknown";
    if (errno === "ENOENT" || errno === "EEXIST" || errno === "EACCES") throw thrown;
    rmSync(target, { force: true });
    const unable = ["EXDEV", "EINVAL", "ENOTTY", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"].includes(errno);
    throw new SyscallError("clone", `${source} to ${target}`, unable ? "EOPNOTSUPP" : errno);
  }
}
