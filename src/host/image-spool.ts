import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, mkdtemp, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, failureOfErrno } from "./errno.ts";

/** Bytes that are read at once. */
const READ_BYTES: number = 256 * 1024;

/** A directory for what one import brings, until it is used. Nothing in it outlives the import. */
export class ImageSpool {
  readonly #directory: string;
  #files = 0;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** A new one in `parent`, which is made when absent. */
  static async make(parent: string): Promise<ImageSpool> {
    await mkdir(parent, { recursive: true, mode: 0o700 });
    return new ImageSpool(await mkdtemp(join(parent, "import-")));
  }

  /** Path for one more file. */
  newPath(): string {
    this.#files += 1;
    return join(this.#directory, String(this.#files));
  }

  /** Keeps all of a stream. Answers its path and size. */
  async keep(
    bytes: AsyncIterable<Uint8Array>,
  ): Promise<{ readonly path: string; readonly sizeBytes: number }> {
    const path = this.newPath();
    const file = await open(path, "wx", 0o600);
    let sizeBytes = 0;
    try {
      for await (const piece of bytes) {
        await writeAll(file, piece, path);
        sizeBytes += piece.length;
      }
    } finally {
      await file.close();
    }
    return { path, sizeBytes };
  }

  async remove(path: string): Promise<void> {
    await rm(path, { force: true });
  }

  /** Removes it with all that is in it; again is success. */
  async close(): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** The bytes of a file that was kept. */
export async function* readKept(path: string): AsyncGenerator<Uint8Array> {
  for await (const piece of createReadStream(path, { highWaterMark: READ_BYTES })) {
    yield piece as Uint8Array;
  }
}

/** Writes all of a piece at the file's position. @throws {Failure} `resource_exhausted` when the disk is full. */
export async function writeAll(file: FileHandle, piece: Uint8Array, path: string): Promise<void> {
  try {
    for (let at = 0; at < piece.length; ) {
      at += (await file.write(piece, at)).bytesWritten;
    }
  } catch (thrown) {
    throw failureOfErrno("write", path, errnoOf(thrown) ?? "EIO");
  }
}
