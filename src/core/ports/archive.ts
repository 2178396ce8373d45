/** How a tree is packed. */
export interface PackOptions {
  /** Absent: plain tar. */
  readonly compress?: "zstd";
  /**
   * True: the tree may be written meanwhile. What changes is packed as it was read, and what vanishes is left out.
   * Absent: a change is `aborted`.
   */
  readonly live?: boolean;
}

/** What an archive may bring. */
export interface UnpackOptions {
  /** Most bytes of the archive when it is plain; null: no limit but the file system's. */
  readonly limitBytes: number | null;
  /** Most entries; absent: {@link ARCHIVE_ENTRIES_LIMIT}. */
  readonly limitEntries?: number;
  /** True: device nodes are made. Absent: they are refused. */
  readonly devices?: boolean;
}

/** What was unpacked. */
export interface Unpacked {
  /** Entries of the archive, the root's among them. */
  readonly entries: number;
  /** Bytes of the archive when it is plain, up to and with its end mark. */
  readonly plainBytes: number;
  /** Bytes as they came. */
  readonly receivedBytes: number;
  /** Of the bytes as they came, 64 hex digits. */
  readonly sha256: string;
  /** Sentences for people about what was not kept, at most {@link ARCHIVE_NOTES_LIMIT}; mostly none. */
  readonly notes: readonly string[];
}

/** Most entries of an archive, unless told. */
export const ARCHIVE_ENTRIES_LIMIT = 20_000_000;
/** Most notes about one archive. */
export const ARCHIVE_NOTES_LIMIT = 16;

/**
 * Trees as tar archives that any tool reads (POSIX pax), and back. Held by `tests/conformance/archive.ts`. Paths are absolute.
 *
 * 1. Content, names byte for byte, numeric owners, modes with set-id bits, times to the nanosecond, hard and symbolic links,
 *    devices, FIFOs, holes, `user.`, `trusted.` and `security.` attributes and POSIX ACLs go both ways. Sockets are left
 *    out, and attributes that belong to the file system (`btrfs.`, `system.`).
 * 2. The event loop is never blocked, and memory does not grow with the files' sizes.
 * 3. An abort rejects with `signal.reason`; when a call has settled, none of its processes is left.
 */
export interface Archive {
  /**
   * The bytes of the archive, made while they are read. A failure comes out of the iteration, after which what was read is
   * worthless. To stop early, leave the loop (or call `return`).
   *
   * 4. Two archives of one unchanged tree are equal byte by byte.
   * 5. Nothing outside `directory` is read, whoever swaps what meanwhile; what is mounted in it is left out.
   * 6. A directory that is absent: `not_found`.
   */
  pack(directory: string, options: PackOptions, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /**
   * The same bytes, plain, written to an open file of this process from where it stands, or to a pipe; resolves to how many they are,
   * null for a pipe. The file stays open, and is not flushed; after a failure it holds a part.
   *
   * 14. Who reads the file meanwhile finds it growing.
   */
  packInto(
    directory: string,
    descriptor: number,
    options: Pick<PackOptions, "live">,
    signal: AbortSignal,
  ): Promise<number | null>;
  /**
   * Unpacks a tar, plain or compressed by zstd or gzip, into `directory`, which is there and empty. Durable when it resolves;
   * after a failure `directory` holds a part: the caller throws it away.
   *
   * 7. Nothing outside `directory` is made, changed or removed, whatever the archive says and whoever swaps what meanwhile.
   * 8. `invalid_argument`, naming the entry: a name or hard link that is absolute or has `..`, an entry or hard link through a
   *    symbolic link, a device (unless asked for), a socket or another kind that cannot be kept, what tar programs read
   *    differently. Symbolic links are content and kept wherever they point.
   * 9. `invalid_argument`: an archive that ends too early, is damaged, has anything but zeros after its end, or is none.
   * 10. More bytes or entries than allowed: `resource_exhausted`, as soon as it shows. A full file system likewise.
   * 11. Of two entries with one name the later stays. Names that differ only in their Unicode form are two.
   * 12. What cannot be kept on this file system (an attribute, an ACL) fails; what no Linux could keep is a note.
   * 13. The stream is not read on after a failure, and is told to stop (`return`). No piece is kept when the fourth after it is
   *     asked for.
   */
  unpack(
    stream: AsyncIterable<Uint8Array>,
    directory: string,
    options: UnpackOptions,
    signal: AbortSignal,
  ): Promise<Unpacked>;
}
