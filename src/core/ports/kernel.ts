/** One line of `/proc/PID/mountinfo` (proc(5)), unescaped. */
export interface MountEntry {
  readonly id: number;
  readonly parentId: number;
  /** Device as `major:minor`. btrfs shows an anonymous device that differs from `stat`'s. */
  readonly device: string;
  /** Path within the file system that is the root of this mount; "//deleted" is cut off and told by `deleted`. */
  readonly root: string;
  readonly deleted: boolean;
  readonly mountPoint: string;
  readonly options: readonly string[];
  readonly type: string;
  readonly source: string;
  readonly superOptions: readonly string[];
}

/** A place in a file system, however it is mounted: what a bind mount of it shows. */
export type MountPlace = Pick<MountEntry, "device" | "root">;

/** The mounts that a group of processes sees. */
export interface MountNamespace {
  /** Lowest pid found in the namespace. */
  readonly pid: number;
  /** Name of that process (`comm`). */
  readonly command: string;
  /** Container that the process's cgroup names: the last 64 hex digits in `/proc/PID/cgroup`; null: none. */
  readonly containerId: string | null;
  /** True for the daemon's own. */
  readonly own: boolean;
  readonly entries: readonly MountEntry[];
}

export interface MountRequest {
  /** File system type, or `bind`. */
  readonly type: string;
  readonly source: string;
  /** An existing directory (or file for a bind of one). */
  readonly target: string;
  /** As in fstab: `ro`, `nosuid`, `nodev`, `noexec`, `noatime`, `rbind`; the rest goes to the file system. */
  readonly options: readonly string[];
}

export interface FileSystemStat {
  /** As `/proc/filesystems` spells it (`btrfs`, `xfs`, `ext4`, `tmpfs`, `overlay`…), else `0x…`, the magic number. */
  readonly type: string;
  readonly totalBytes: number;
  /** What an unprivileged writer may still use. */
  readonly availableBytes: number;
  readonly totalInodes: number;
  readonly availableInodes: number;
}

export interface SubvolumeInfo {
  /** Number of the subvolume in its file system. */
  readonly id: number;
  readonly readOnly: boolean;
}

export interface QuotaUsage {
  /** Bytes reachable from the subvolume. */
  readonly referencedBytes: number;
  /** Bytes that only this subvolume holds: what removing it frees. */
  readonly exclusiveBytes: number;
  /** Limit on referenced bytes; null: none. */
  readonly limitBytes: number | null;
}

/** Longest that a file system of ours stays frozen, in milliseconds. */
export const FREEZE_LIMIT_MS = 5_000;

/** A file to be cloned, and a directory of the file system that lies in it; null: none is mounted. */
export interface FrozenImage {
  readonly frozen: string | null;
  readonly source: string;
  readonly target: string;
}

/**
 * What only the kernel can do. Held by `tests/conformance/kernel.ts`. Paths are absolute.
 *
 * 1. No call blocks the event loop, and a call that hangs (dead NFS, suspended device) holds up no other.
 * 2. Errors: absent `not_found`, present `already_exists`, in use `failed_precondition`, no room or quota
 *    `resource_exhausted`, read-only `failed_precondition`, not permitted `permission_denied`, unsupported here
 *    `unimplemented`, a bad argument `invalid_argument`, I/O error `data_loss`, else `unknown`; the message names the call, the path and the errno.
 */
export interface Kernel {
  /**
   * 3. Mounts; the source and target are resolved once. A target that is already a mount point gets another mount on
   *    top. A bind keeps the restrictions of its source and adds its options before anyone can see it; with `rbind` they
   *    hold for all of it. The file system in a regular file is mounted by the loop device that the file is attached to
   *    already, never by a second one, else by a new one; that device detaches itself after the last unmount. Options that
   *    are longer than a page are told one by one, those of an overlay's `lowerdir` layer by layer: 500 of them (6.8).
   */
  mount(request: MountRequest): Promise<void>;
  /** 4. Takes the topmost mount off `target`; not a mount point: `not_found`; busy: `failed_precondition`. */
  unmount(target: string): Promise<void>;
  /** 5. The daemon's own mounts, in mount order. */
  mountTable(): Promise<readonly MountEntry[]>;
  /**
   * 6. Every mount namespace that a running process is in, once each; processes that end meanwhile are passed over. With
   *    `place` only those of their mounts that show it or something in it.
   */
  mountNamespaces(place?: MountPlace): Promise<readonly MountNamespace[]>;
  /**
   * 26. The mount of our own that a lookup of `path` ends in, as 5 has it; where `path` is a mount point, the topmost on
   *     it. A link in the last part is not followed. Absent: undefined. Where the kernel can be asked of one mount (6.13)
   *     it costs the same however much is mounted.
   */
  mountOf(path: string): Promise<MountEntry | undefined>;
  /** 7. Of the file system that holds `path`. */
  statFileSystem(path: string): Promise<FileSystemStat>;
  /**
   * 8. Makes `target` (absent before) a regular file that shares the bytes of `source` (FICLONE);
   *    a file system that cannot: `unimplemented`, and no target is left.
   */
  cloneFile(source: string, target: string): Promise<void>;

  /**
   * 21. As 8, of each image, while the file systems of all directories `frozen` take no writes: all targets are what their
   *     sources are at one instant, with all that was written to them before. Answers how long writers may have had to
   *     wait, in milliseconds. When one cannot be cloned, no target is left.
   * 22. It is thawed when the call ends, however it ends, also when this process is killed meanwhile; after
   *     {@link FREEZE_LIMIT_MS} whatever goes on, and then the call fails with `deadline_exceeded` and leaves no target.
   * 23. `target` on that very file system: `invalid_argument`; frozen by somebody else already: `failed_precondition`;
   *     one that cannot be frozen: `unimplemented`.
   */
  cloneFrozen(images: readonly FrozenImage[]): Promise<number>;
  /**
   * 25. Bytes allocated to a regular file that no other file shares: what its removal would free. Where the file system
   *     cannot tell, all that are allocated. May lag behind writers by the file system's commit interval.
   */
  exclusiveBytes(path: string): Promise<number>;
  /** 24. Thaws the file system of the directory `path`, whoever froze it; not frozen is success. */
  thaw(path: string): Promise<void>;

  /** 9. Device (`/dev/loopN`) newly attached to a regular file, direct I/O where the file system allows it; detaches itself after its last use. */
  attachLoop(file: string): Promise<string>;
  /**
   * 26. Device by which a regular file is a block device for others, with blocks of 512 bytes: the one that the file is
   *     attached to so already, read-only or not as asked, else a new one. It stays attached until it is detached, also when
   *     a detaching that waited for its last use was under way.
   */
  attachDevice(file: string, options: { readonly readOnly: boolean }): Promise<string>;
  /** 10. The devices attached to this very file (device and inode, not path), lowest first. */
  findLoops(file: string): Promise<readonly string[]>;
  /** 11. Detaches now or after the last use; not attached is success. */
  detachLoop(device: string): Promise<void>;

  /** 12. A new empty subvolume; the parent directory must be on btrfs, else `unimplemented`. */
  createSubvolume(path: string): Promise<void>;
  /** 13. A new subvolume `target` with the content, and the limit, of subvolume `source` at this instant. */
  snapshotSubvolume(
    source: string,
    target: string,
    options: { readonly readOnly: boolean },
  ): Promise<void>;
  /** 14. Removes a subvolume and every subvolume inside it; absent is success; a directory that is none: `invalid_argument`. */
  removeSubvolume(path: string): Promise<void>;
  /** 15. Undefined when `path` is absent or is not the root of a subvolume. */
  findSubvolume(path: string): Promise<SubvolumeInfo | undefined>;
  /**
   * 21. Whether subvolume `path` may hold something else than when subvolume `snapshot` was made from it. False only when
   *     it was made from this very one and no commit has changed that since: what is in none yet (btrfs makes one every
   *     30 seconds, and at 17) may be overlooked. Absent: `not_found`.
   */
  hasSubvolumeChanged(path: string, snapshot: string): Promise<boolean>;
  /** 16. Makes a subvolume read-only or writable; the same again is success. */
  setSubvolumeReadOnly(path: string, readOnly: boolean): Promise<void>;
  /** 17. After it resolves, every subvolume made or removed so far on the file system of `path` is so after a power cut. */
  commitSubvolumes(path: string): Promise<void>;
  /** 18. Turns accounting on for the btrfs of `path`, and waits until its figures are whole; on already is success. */
  enableQuotas(path: string): Promise<void>;
  /** 19. Limit on the referenced bytes of the subvolume at `path`; null lifts it. Quotas off: `failed_precondition`. */
  limitSubvolume(path: string, sizeBytes: number | null): Promise<void>;
  /** 20. Accounting of the subvolume at `path`; undefined while quotas are off. */
  subvolumeUsage(path: string): Promise<QuotaUsage | undefined>;
}
