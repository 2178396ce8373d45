/** What a layer may bring. */
export interface LayerTarLimits {
  /** Most bytes of the tar; null: no limit but the file system's. */
  readonly tarBytes: number | null;
  /** Most entries; absent: {@link LAYER_ENTRIES_LIMIT}. */
  readonly entries?: number;
}

/** What was applied. */
export interface LayerApplied {
  /** Of the files in the layer, together, with their holes. Whiteouts and hard links count nothing. */
  readonly sizeBytes: number;
  /** Of the tar, whiteouts among them. */
  readonly entries: number;
}

/** One difference between a tree and its parent. */
export interface LayerChange {
  /** Below the root, without a slash at the front, parts between slashes, as `TreeChange.path` has it; never the root. */
  readonly path: string;
  /** `modified` is also told of a directory for what changed in it. */
  readonly kind: "added" | "modified" | "removed";
}

/** Most entries of a layer, unless told. */
export const LAYER_ENTRIES_LIMIT = 20_000_000;
/** Most bytes of the names in one layer together: they are kept in mind until it is applied. */
export const LAYER_NAMES_LIMIT_BYTES: number = 256 * 1024 ** 2;
/** Most directories inside one another that are read. */
export const LAYER_DEPTH_LIMIT = 2000;

/**
 * Layers of images as plain tars with AUFS whiteouts (OCI image specification 1.0, "layer.md"; Docker and containerd write and
 * read the same). Held by `tests/conformance/layer-tar.ts`. Paths are absolute. A tree is a directory as containers see it: of
 * an overlay layer its mount, in which what is removed leaves a whiteout by itself.
 *
 * 1. The event loop is never blocked, memory does not grow with the files' sizes, and one call holds up no other (up to a few).
 * 2. An abort rejects with `signal.reason`; when a call has settled, nothing is written to or read from the trees any more.
 * 3. A root that is absent: `not_found`; one that is no directory: `invalid_argument`.
 */
export interface LayerTar {
  /**
   * Applies a layer to the tree at `root`, over what is in it. Not durable: that is the commit's. After a failure `root` holds a
   * part, and the caller throws it away. The stream is not read on after a failure, and is told to stop (`return`).
   *
   * 4. Types, names byte for byte, numeric owners, modes with set-id bits, times to the nanosecond, hard and symbolic links,
   *    devices, FIFOs, holes (GNU sparse 1.0), `user.`, `trusted.` and `security.` attributes and POSIX ACLs (as
   *    `system.posix_acl_` attributes) are as the entry says, and nothing is inherited from a directory. Left out are `trusted.overlay.`
   *    and `user.overlay.` attributes, and those of the host's security modules (`security.selinux` and the like).
   * 5. `.wh.NAME` removes NAME, `.wh..wh..opq` all in its directory: but only what was there before the layer, whatever the order
   *    of entries. Other names that begin with `.wh..wh.` are passed over. A whiteout of what is absent is success.
   * 6. An entry replaces what has its name; a directory over a directory keeps what is in it. Of two entries with one name the
   *    later stays.
   * 7. Directories that no entry tells of are made with mode 0755, owner 0:0; those of the parent keep their time. A hard link may
   *    lead to a file of the parent.
   * 8. Nothing outside `root` is made, changed or removed: a leading slash means the root, a symbolic link on the way to an entry
   *    is followed as a process would whose root directory is `root`, and `..` that leaves it is refused.
   * 9. `invalid_argument`, naming the entry, when it cannot be kept: `..`, a hard link to nothing or to a directory, an entry in a
   *    file of the layer, a socket, what tar programs read differently. `resource_exhausted` over a limit, or no room.
   * 10. `invalid_argument`: a tar that is damaged, compressed, or ends within an entry. One that ends between two, without an
   *    end mark, is taken: whether a layer is whole, its digest says.
   */
  apply(
    root: string,
    tar: AsyncIterable<Uint8Array>,
    limits: LayerTarLimits,
    signal: AbortSignal,
  ): Promise<LayerApplied>;
  /**
   * The layer that makes `root` of `parent`, made while it is read; null: of nothing. A failure comes out of the iteration, after
   * which what was read is worthless. To stop early, leave the loop (or call `return`).
   *
   * 11. Applied to a copy of `parent`, it makes all of contract 4 of `root`; of unchanged files that are one file in `root` as well.
   *     Sockets are left out, and what is mounted in either tree is as it is in the parent.
   * 12. Equal are two entries with the same inode and time of change; else those with the same kind, mode, owner, device number,
   *     size, time, link target and attributes, and the same content where the time has no nanoseconds or the inode is one.
   * 13. Two layers of the same trees are equal byte by byte; parents come before what is in them, names in order of their bytes,
   *     hard links after the file that they lead to, which is in the layer.
   * 14. Nothing outside the trees is read, whoever swaps what meanwhile. What vanishes meanwhile is absent; a file that changes
   *     while it is read: `aborted`.
   */
  diff(root: string, parent: string | null, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /**
   * The differences that `diff` would write, in its order, without reading what need not be.
   *
   * 15. As 12 to 14. A directory that was removed is told alone, one that was added with all that is in it. What changed its type is
   *     `modified`. All directories on the way to a change are told, before it, as `modified`; the root never is.
   */
  changes(root: string, parent: string | null, signal: AbortSignal): AsyncIterable<LayerChange>;
}
