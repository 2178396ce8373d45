import {
  closeSync,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  openSync,
  statfsSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { STORE_SOON_MS } from "../../core/ports/store.ts";

/** How long the log is made at the start: what is written between two checkpoints, and a quarter more. */
const LENGTH_BYTES = 5 * 1024 ** 2;
/** What must stay free on the file system for that. */
const SPARE_BYTES = 256 * 1024 ** 2;
const BLOCK = Buffer.alloc(256 * 1024);

/**
 * The write-ahead log of an open database, synced by us instead of by SQLite (`synchronous = NORMAL`), which has only fsync(2)
 * here: as each commit changes the file's times, every one would wait for a commit of the file system's journal too. fdatasync(2)
 * in a log that does not grow waits for its data alone, which takes half as long on ext4.
 */
export class WriteAhead {
  readonly #fd: number;
  /**
   * For syncs beside the work. Linux tells each descriptor once of a failed write: by one alone, the sync that comes second
   * could take it from the first, and take for durable what is not.
   */
  readonly #besideFd: number;
  #soon: NodeJS.Timeout | undefined;
  #synced: (thrown: unknown) => void = () => undefined;
  #closed = false;

  /** @param path The database's; its log is there. */
  constructor(path: string) {
    // Locks lie on the database alone, so that another descriptor of its log harms none.
    this.#fd = openSync(`${path}-wal`, "r+");
    this.#besideFd = openSync(`${path}-wal`, "r+");
    const { size } = fstatSync(this.#fd);
    // A process that was killed may have left what it had no time to make durable.
    if (size > 0) this.sync();
    try {
      this.#lengthen(dirname(path), size);
    } catch {
      // Then the log grows by and by, at the price of the journal's commits. What came of it must not take the last room.
      ftruncateSync(this.#fd, size);
    }
  }

  /** What was committed is on the disk when this returns. @throws What fdatasync(2) says: then nobody knows. */
  sync(): void {
    clearTimeout(this.#soon);
    this.#soon = undefined;
    fdatasyncSync(this.#fd);
  }

  /**
   * What was committed is on the disk after about `STORE_SOON_MS`, or with the {@link sync} that comes first, as it does
   * where one piece of work follows another. The thread does not wait for it.
   *
   * @param synced Told when it came to that, with what fdatasync(2) said when it failed. Of several that one sync serves, only
   *   the last is told; none after {@link close}.
   */
  syncSoon(synced: (thrown: unknown) => void): void {
    this.#synced = synced;
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      const last = this.#synced;
      fdatasync(this.#besideFd, (thrown) => {
        if (!this.#closed) last(thrown);
      });
    }, STORE_SOON_MS);
  }

  /** Nothing that was committed waits for its sync any more: {@link sync} it first, or give it up. */
  close(): void {
    clearTimeout(this.#soon);
    this.#closed = true;
    closeSync(this.#fd);
    closeSync(this.#besideFd);
  }

  /** Fills what comes after the last frame with zeros, which are none. Not with a hole: that would be written anew. */
  #lengthen(directory: string, sizeBytes: number): void {
    const { bavail, bsize } = statfsSync(directory);
    if (bavail * bsize < SPARE_BYTES) return;
    for (let at = sizeBytes; at < LENGTH_BYTES; ) {
      at += writeSync(this.#fd, BLOCK, 0, Math.min(BLOCK.length, LENGTH_BYTES - at), at);
    }
    fdatasyncSync(this.#fd);
  }
}
