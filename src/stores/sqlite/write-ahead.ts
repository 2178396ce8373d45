import {
  closeSync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  openSync,
  statfsSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";

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

  /** @param path The database's; its log is there. */
  constructor(path: string) {
    // Locks lie on the database alone, so that another descriptor of its log harms none.
    this.#fd = openSync(`${path}-wal`, "r+");
    const { size } = fstatSync(this.#fd);
    try {
      this.#lengthen(dirname(path), size);
    } catch {
      // Then the log grows by and by, at the price of the journal's commits. What came of it must not take the last room.
      ftruncateSync(this.#fd, size);
    }
  }

  /** What was committed is on the disk when this returns. @throws What fdatasync(2) says: then nobody knows. */
  sync(): void {
    fdatasyncSync(this.#fd);
  }

  close(): void {
    closeSync(this.#fd);
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
