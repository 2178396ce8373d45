import { closeSync, constants as fs, fstat, openSync, read } from "node:fs";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { Failure } from "../core/failure.ts";
import type { CallerFile, CallerFiles, MeantFile } from "../core/ports/caller-files.ts";
import { readerOf } from "./pipe.ts";
import { syscallThreads } from "./syscall-threads.ts";

const statFile = promisify(fstat);
const readInto = promisify(read);

/** What is read at once. */
const PIECE_BYTES = 256 * 1024;
/** What a pipe should hold. */
const PIPE_BYTES = 1024 ** 2;
/** How many pieces there are in turn: `CallerFile.content`. */
const PIECES = 4;
/** The bits of `open(2)`'s flags that say how a file is used. */
const ACCESS_MODE = 0o3;

/** Files of the processes that are connected to this one. */
export const hostCallerFiles: CallerFiles = { take };

async function take(
  connection: object,
  { number, inode }: MeantFile,
  use: "read" | "write",
): Promise<CallerFile> {
  const descriptor = await takeDescriptor(connection, number);
  try {
    await checkInode(descriptor, inode);
    const pipe = await checkFile(descriptor, use);
    return pipe ? new LentPipe(descriptor) : new LentFile(descriptor);
  } catch (thrown) {
    closeSync(descriptor);
    throw thrown;
  }
}

async function takeDescriptor(connection: object, number: number): Promise<number> {
  const socket = connectionDescriptor(connection);
  if (socket === undefined) throw refusal("its connection is none of this machine");
  const taken = await syscallThreads.call("takeFileOfPeer", socket, number).catch((cause) => {
    throw refusal(cause instanceof Failure ? cause.message : String(cause), cause);
  });
  // While it is open, nothing else has its number: it was this connection's process that was asked.
  if (connectionDescriptor(connection) === socket) return taken;
  closeSync(taken);
  throw refusal("it has gone");
}

/** Node has no other way to a socket's descriptor. */
function connectionDescriptor(connection: object): number | undefined {
  const { _handle: handle, destroyed } = connection as {
    readonly _handle?: { readonly fd?: number } | null;
    readonly destroyed?: boolean;
  };
  const descriptor = destroyed === true ? undefined : handle?.fd;
  return descriptor === undefined || descriptor < 0 ? undefined : descriptor;
}

/** @throws {Failure} when it is another than the caller means. */
async function checkInode(descriptor: number, meant: string | undefined): Promise<void> {
  const { dev, ino } = await statFile(descriptor, { bigint: true });
  if (`${dev}:${ino}` !== meant) throw refusal("something passes the connection on");
}

/** Resolves to true for a pipe. @throws {Failure} when it cannot be used so. */
async function checkFile(descriptor: number, use: "read" | "write"): Promise<boolean> {
  const found = await statFile(descriptor);
  const pipe = found.isFIFO();
  if (!pipe && !found.isFile()) throw refusal("it is neither a regular file nor a pipe");
  const info = await readFile(`/proc/self/fdinfo/${descriptor}`, "utf8");
  const flags = Number.parseInt(/^flags:\t(\d+)$/m.exec(info)?.[1] ?? "", 8);
  const unwanted = use === "read" ? fs.O_WRONLY : fs.O_RDONLY;
  if ((flags & ACCESS_MODE) === unwanted) throw refusal(`it is not open to ${use}`);
  if (pipe) await syscallThreads.call("growPipe", descriptor, PIPE_BYTES);
  else if (use === "write" && (flags & fs.O_APPEND) !== 0) {
    throw refusal("it is only appended to");
  }
  return pipe;
}

class LentPipe implements CallerFile {
  readonly descriptor: number;
  #closed = false;

  constructor(descriptor: number) {
    this.descriptor = descriptor;
  }

  /** By an open file of our own: whether to wait is set for all who have the same one open. */
  content(): AsyncGenerator<Uint8Array> {
    const path = `/proc/self/fd/${this.descriptor}`;
    return readerOf({ ours: openSync(path, fs.O_RDONLY | fs.O_NONBLOCK) });
  }

  close(): void {
    if (!this.#closed) closeSync(this.descriptor);
    this.#closed = true;
  }
}

class LentFile implements CallerFile {
  readonly descriptor: number;
  #closed = false;
  #readers = 0;

  constructor(descriptor: number) {
    this.descriptor = descriptor;
  }

  async *content(): AsyncGenerator<Uint8Array> {
    const pieces = Array.from({ length: PIECES }, () => Buffer.allocUnsafeSlow(PIECE_BYTES));
    const fill = async (piece: Buffer): Promise<Buffer> => {
      const { bytesRead } = await readInto(this.descriptor, piece, 0, piece.length, null);
      return piece.subarray(0, bytesRead);
    };
    let filling: Promise<Buffer> | undefined;
    this.#readers++;
    try {
      for (let count = 0; ; count++) {
        filling ??= fill(pieces[count % PIECES] as Buffer);
        const piece = await filling;
        filling = undefined;
        if (piece.length === 0) return;
        // Ahead, while the reader works on this one.
        filling = fill(pieces[(count + 1) % PIECES] as Buffer);
        filling.catch(() => undefined);
        yield piece;
      }
    } finally {
      await filling?.catch(() => undefined);
      this.#readers--;
      this.#closeUnused();
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#closeUnused();
  }

  /** Not under a read that is on its way, although nobody waits for it any more: another file would have its number. */
  #closeUnused(): void {
    if (this.#closed && this.#readers === 0) closeSync(this.descriptor);
  }
}

function refusal(why: string, cause?: unknown): Failure {
  return new Failure(
    "unimplemented",
    `Cannot use the caller's own file: ${why}; send or take the archive by the connection`,
    { detail: { untouched: true }, cause },
  );
}
