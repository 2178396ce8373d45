import { statfsSync } from "node:fs";
import type { FileSystemStat } from "../core/ports/kernel.ts";
import { attempt } from "./libc.ts";

/*
 * Every call that may wait: each exported function is what a syscall thread can be asked to do.
 */

export { applyLayer } from "./layer-apply.ts";
export { listLayer, packLayer } from "./layer-read.ts";
export { growPipe, makePipe, renameNoReplace } from "./libc.ts";
export { takeFileOfPeer } from "./libc-peer.ts";
export { findMountIn } from "./mount-in.ts";
export {
  commitSubvolumes,
  createSubvolume,
  enableQuotas,
  findSubvolume,
  hasSubvolumeChanged,
  limitSubvolume,
  removeQgroups,
  removeSubvolume,
  setSubvolumeReadOnly,
  snapshotSubvolume,
  subvolumeUsage,
} from "./syscalls-btrfs.ts";
export { exclusiveBytes } from "./syscalls-extents.ts";
export { cloneFrozen, syncFileSystemOf, thaw } from "./syscalls-freeze.ts";
export { attachDevice, attachLoop, detachLoop, findLoops } from "./syscalls-loop.ts";
export { cloneFile, mountRequest, unmountTarget } from "./syscalls-mount.ts";
export { mountOf } from "./syscalls-mount-of.ts";
export { readNamespaces } from "./syscalls-namespaces.ts";
export { performSteps } from "./syscalls-steps.ts";
export { readNotes, readTexts } from "./syscalls-text.ts";
export { measureTree } from "./tree-bytes.ts";
export { copyTree, makeDirectoryLike } from "./tree-copy.ts";
export { removeTrees } from "./tree-removal.ts";
export { isUntouchedLike } from "./tree-untouched.ts";

/** Magic numbers of statfs(2) (linux/magic.h, 6.1) by the names of `/proc/filesystems`. */
const TYPE_OF_MAGIC: ReadonlyMap<number, string> = new Map([
  [0x9123683e, "btrfs"],
  [0x58465342, "xfs"],
  [0xef53, "ext4"],
  [0x01021994, "tmpfs"],
  [0x794c7630, "overlay"],
  [0x2fc12fc1, "zfs"],
  [0x65735546, "fuse"],
  [0x6969, "nfs"],
  [0xff534d42, "cifs"],
  [0x9fa0, "proc"],
  [0x62656572, "sysfs"],
  [0x73717368, "squashfs"],
  [0xe0f5e1e2, "erofs"],
  [0xf2f52010, "f2fs"],
  [0xca451a4e, "bcachefs"],
  [0x858458f6, "ramfs"],
  [0x01021997, "9p"],
  [0x00c36400, "ceph"],
]);

/** `Kernel.statFileSystem`. */
export function statFileSystem(path: string): FileSystemStat {
  const { type, bsize, frsize, blocks, bavail, files, ffree } = attempt("statfs", path, () =>
    statfsSync(path),
  );
  // statvfs(3): blocks are counted in fragments where the file system has them.
  const unitBytes = frsize === 0 ? bsize : frsize;
  return {
    type: TYPE_OF_MAGIC.get(type) ?? `0x${type.toString(16)}`,
    totalBytes: blocks * unitBytes,
    availableBytes: bavail * unitBytes,
    totalInodes: files,
    availableInodes: ffree,
  };
}
