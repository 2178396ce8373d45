/** What an entry of a tree is; `other`: a device, FIFO or socket. */
export type TreeEntryType = "file" | "directory" | "symlink" | "other";

/** One difference between two trees. */
export interface TreeChange {
  /**
   * Below the root, parts between slashes; `.`: the root itself. Text of the name's bytes as UTF-8, in which a percent sign
   * and every byte that is not UTF-8 stand as `%` and two hex digits (capitals): so two names never look the same.
   */
  readonly path: string;
  readonly kind: "added" | "changed" | "removed";
  /** Of the entry that is there now; of a removed one: what it was. */
  readonly type: TreeEntryType;
  /** Sizes of a file before and after, with its holes; 0 for what is no file or is not there. */
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

/** Most directories inside one another that are walked. */
export const TREE_DEPTH_LIMIT = 1000;

/**
 * Compares two file trees by what the file system says of them: no content is read. Held by
 * `tests/conformance/tree-diff.ts`. Paths are absolute.
 *
 * 1. Equal are two entries of one name with the same type, mode, owner, size, time of change to the nanosecond, device number,
 *    link target, POSIX ACLs and `user.`, `trusted.` and `security.` attributes. Of directories size and time do not count: they
 *    change with every entry. So a file whose content was changed, and then its size and time put back, counts as equal.
 * 2. An entry that changed its type is told twice: as removed, with all that was in it, and then as added.
 * 3. An added or removed directory is told, and everything in it. A renamed entry is one removed and one added.
 * 4. In order: a directory before what is in it, names by their bytes.
 * 5. Nothing outside the trees is read: links are not followed, whoever swaps what meanwhile, and what is mounted in a tree (or is a
 *    subvolume of its own) counts as an empty directory. In a tree that is being written, what vanishes meanwhile is absent.
 * 6. The event loop is never blocked; memory grows with the largest directories on one path, not with the trees, and a reader
 *    that is slow holds up the walk.
 * 7. An abort rejects with `signal.reason`. To stop early, leave the loop (or call `return`).
 * 8. An absent root: `not_found`; one that is no directory: `invalid_argument`; more than {@link TREE_DEPTH_LIMIT} directories
 *    inside one another: `out_of_range`.
 */
export interface TreeDiff {
  compare(from: string, to: string, signal: AbortSignal): AsyncIterable<TreeChange>;
}
