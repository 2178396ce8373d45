/** Hears how many bytes were copied so far, holes left out; shared ones count. */
export type Progress = (doneBytes: number) => void;

/** What `stat` says of a path; the last component is never followed. */
export interface FileStat {
  readonly kind: "file" | "directory" | "symlink" | "other";
  readonly sizeBytes: number;
  /** Bytes really allocated (blocks × 512): a sparse file has fewer than its size. */
  readonly allocatedBytes: number;
  /** Permission bits, `0` to `0o7777`. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Device and inode numbers: equal for two paths of one file. */
  readonly device: number;
  readonly inode: number;
}

/** What a tree has on the disk. */
export interface TreeBytes {
  /** Bytes allocated, a file with several names counted once. */
  readonly allocatedBytes: number;
  /** Those of them that other files have too, in the tree or elsewhere, as far as the file system tells. */
  readonly sharedBytes: number;
  /** Files, directories and what else there is, its root among them, each once however many names it has. */
  readonly entries: number;
}

/** Whether a call also makes durable the names that it gives and takes; true unless told. */
export interface NameOptions {
  readonly syncNames?: boolean;
}

/** One step of {@link Files.perform}: as the method of that name, but that nothing is durable. */
export type FileStep =
  | {
      readonly do: "makeDirectory";
      readonly path: string;
      readonly mode: number;
      readonly uid?: number;
      readonly gid?: number;
    }
  | { readonly do: "makeDirectoryLike"; readonly path: string; readonly model: string }
  /** Of a directory: whose it is, and its mode, set-id bits among it. */
  | {
      readonly do: "setOwner";
      readonly path: string;
      readonly uid: number;
      readonly gid: number;
      readonly mode: number;
    }
  /** For {@link Files.readNotes}. A power cut leaves the old text or the new, `fresh`: the new or none. */
  | {
      readonly do: "writeNote";
      readonly path: string;
      readonly text: string;
      /** Nobody looks there yet: written in its place, where nothing is. */
      readonly fresh?: boolean;
    }
  | { readonly do: "rename"; readonly from: string; readonly to: string }
  /** For {@link Files.isUnchanged}. Never fails: what cannot be watched is not. */
  | { readonly do: "watch"; readonly path: string };

/**
 * Our own files: descriptors, markers, pool images; of volumes only whole trees, whose content the kernel carries.
 * Held by `tests/conformance/files.ts`. Paths are absolute.
 *
 * 1. A path that is absent: `not_found`; present where it must not be: `already_exists`;
 *    no room, or over a quota: `resource_exhausted`; a read-only file system: `failed_precondition`;
 *    an I/O error: `data_loss`. Messages name the path.
 * 2. Nothing here follows a symbolic link in the last component.
 * 3. "Durable" means: after the promise resolves, a power cut does not take it back.
 */
export interface Files {
  /** 4. Undefined when absent. */
  stat(path: string): Promise<FileStat | undefined>;
  /** 5. The text, UTF-8, up to 16 MiB; `resource_exhausted` when larger. Undefined when absent. */
  readText(path: string): Promise<string | undefined>;
  /** 5. Many small ones at once, in the order of `paths`: a text too large, or that cannot be read, fails all. */
  readTexts(paths: readonly string[]): Promise<readonly (string | undefined)[]>;
  /**
   * 23. As {@link readTexts}, also where a note is instead of a file: a text that the file system keeps with the name, which
   *     needs no sync of its own to be whole. On the host it is the target of a symbolic link that leads nowhere.
   */
  readNotes(paths: readonly string[]): Promise<readonly (string | undefined)[]>;
  /** 6. Replaces the file whole, durably: readers see the old text or the new, also after a crash. Mode 0600. */
  writeText(path: string, text: string): Promise<void>;
  /** 7. Names in the directory, sorted; an absent directory: `not_found`. */
  list(path: string): Promise<readonly string[]>;
  /**
   * 8. Creates one directory with exactly these bits and owner, whatever the umask; present: `already_exists`.
   *    Not durable by itself.
   */
  makeDirectory(
    path: string,
    options: { readonly mode: number; readonly uid?: number; readonly gid?: number },
  ): Promise<void>;
  /** 9. Creates the directory and its missing parents (0755; the last with `mode`), durably; present is success. */
  ensureDirectory(path: string, options: { readonly mode: number }): Promise<void>;
  /**
   * 10. Renames within one file system, durably; an existing target: `already_exists`, except that it is never replaced.
   *     Without `syncNames` it is not durable by itself, but a power cut leaves either the old name or the new.
   */
  rename(from: string, to: string, options?: NameOptions): Promise<void>;
  /** 11. Makes the entries of a directory durable. */
  syncDirectory(path: string): Promise<void>;
  /** 12. Owner and permission bits of a directory or file; a symbolic link: `invalid_argument`. */
  setOwner(path: string, owner: { readonly uid: number; readonly gid: number }): Promise<void>;
  setMode(path: string, mode: number): Promise<void>;
  /** 13. A new sparse file of this size, mode 0600, durable; present: `already_exists`. */
  createSparse(path: string, sizeBytes: number): Promise<void>;
  /** 14. Removes a file or an empty directory, durably; absent is success; not empty: `failed_precondition`. */
  remove(path: string): Promise<void>;
  /**
   * 15. Removes a tree, durably, staying on its file system and following no link, also when something in it is
   *     being renamed meanwhile; absent is success; something mounted in it, of whatever file system: `failed_precondition`.
   *     Takes as long as the tree is large; abort leaves a part.
   */
  removeTree(path: string, signal: AbortSignal): Promise<void>;
  /** 22. Removes trees as {@link removeTree} does, in this order, up to the first that cannot go. Not durable by itself. */
  removeTrees(paths: readonly string[], signal: AbortSignal): Promise<void>;
  /**
   * 16. Makes `target`, absent before in a directory that nobody else uses, a durable copy of the directory `source` with
   *     all that is in it: names as bytes, types, owners, modes, times, links, hard links within the tree, extended
   *     attributes, access control lists, holes. Files share their bytes where the file system can do that. It stays on its file
   *     system (a directory that something is mounted on is empty in the copy), and never leaves the tree, whatever
   *     is renamed or becomes a link in it meanwhile. What vanishes meanwhile is left out; a file that is written meanwhile
   *     is copied as it is found. Present: `already_exists`; an abort or a failure leaves a part. `progress` hears several
   *     times a second of a long copy how much of it is there, and nothing of a short one.
   */
  copyTree(source: string, target: string, signal: AbortSignal, progress?: Progress): Promise<void>;
  /** 17. What the tree at `path` has on the disk, walked as `copyTree` does: what is mounted in it does not count. */
  measureTree(path: string, signal: AbortSignal): Promise<TreeBytes>;
  /**
   * 18. A new empty directory with the owner, mode, times, extended attributes and access control lists of the directory
   *     `model`, but for the attributes that an overlay keeps for itself (`trusted.overlay.`). Present: `already_exists`;
   *     absent model: `not_found`. Not durable by itself; a failure may leave it without some of that.
   */
  makeDirectoryLike(path: string, model: string): Promise<void>;
  /**
   * 21. True when the directory `path` is empty and is what {@link makeDirectoryLike} of `model` makes: owner, mode, time of
   *     change, attributes; but for those by which an overlay keeps books of a mount, and which say nothing of what is in it.
   *     Takes no time that grows with either. One of them absent: `not_found`.
   */
  isUntouchedLike(path: string, model: string): Promise<boolean>;
  /**
   * 24. True when nothing has been added to the directory `path` since a step watched it, and none of its owner, mode, times and
   *     attributes changed, by whomever. It makes no call that may wait. False when that is not sure: when nobody watched it, long
   *     ago, or before many others.
   */
  isUnchanged(path: string): boolean;
  /**
   * 19. The steps, in order, in one go: where a call by itself costs more than what it does. Ends with the first that fails,
   *     as that method does, and leaves what came before it. Nothing of it is durable before a `syncFileSystem`.
   */
  perform(steps: readonly FileStep[]): Promise<void>;
  /**
   * 20. Makes durable all that was done so far on the file system of the directory `path`, by whomever: content, names,
   *     owners. Callers at the same time share one go. Something that could not be written: `data_loss`.
   */
  syncFileSystem(path: string): Promise<void>;
}
