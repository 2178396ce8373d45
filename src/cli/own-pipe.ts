import { execFile } from "node:child_process";
import { closeSync, constants as fs, openSync, read, write, writeSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { readAhead } from "./read-ahead.ts";

/*
 * An archive on its way to another program: the daemon's tar writes to a pipe of this process, which passes it on. The bytes go by one
 * process less than by a connection, and in larger pieces.
 */

const runFile = promisify(execFile);
const readFrom = promisify(read);
const writeTo = promisify(write);

interface Pipe {
  readonly reader: number;
  readonly writer: number;
}

/** What writes to a pipe of this process, and what comes out of it. */
export interface Piped {
  readonly pieces: AsyncGenerator<Uint8Array>;
  /** True until something came. */
  readonly untouched: () => boolean;
}

/**
 * Has `fill` write to the end of a new pipe; undefined: none can be made here. A piece is overwritten when the second after it is asked
 * for.
 *
 * @param fill Settles when nothing more will be written.
 */
export async function pipedFrom(
  fill: (descriptor: number) => Promise<unknown>,
): Promise<Piped | undefined> {
  const pipe = await makePipe().catch(() => undefined);
  if (pipe === undefined) return undefined;
  let untouched = true;
  const pieces = async function* () {
    for await (const piece of drained(pipe, fill)) {
      untouched = false;
      yield piece;
    }
  };
  return { pieces: pieces(), untouched: () => untouched };
}

async function* drained(
  { reader, writer }: Pipe,
  fill: (descriptor: number) => Promise<unknown>,
): AsyncGenerator<Uint8Array> {
  let failed = false;
  const wake = () => wakeReader(reader);
  process.once("exit", wake);
  // Without our own end it ends when the last of the others does.
  const filling = fill(writer).finally(() => closeSync(writer));
  filling.catch(() => {
    failed = true;
  });
  const next = async (piece: Uint8Array) =>
    failed ? 0 : (await readFrom(reader, piece, 0, piece.length, null)).bytesRead;
  try {
    yield* readAhead(next);
  } finally {
    process.off("exit", wake);
    closeSync(reader);
  }
  await filling;
}

/** Ends a wait for a pipe: a process that exits is joined by its threads, also by one that waits for our own end to be closed. */
function wakeReader(reader: number): void {
  try {
    // Opened anew: whether to wait is set for all who have the same one open.
    writeSync(openSync(`/proc/self/fd/${reader}`, fs.O_WRONLY | fs.O_NONBLOCK), "\0");
  } catch {
    // It is full: nobody waits.
  }
}

/** Node has no call for it. */
async function makePipe(): Promise<Pipe> {
  const directory = await mkdtemp(join(tmpdir(), "lagan-"));
  const path = join(directory, "pipe");
  try {
    await runFile("mkfifo", ["-m", "600", path]);
    // Opened for both, it waits for nobody, and then neither do the others.
    const both = openSync(path, fs.O_RDWR);
    try {
      const reader = openSync(path, fs.O_RDONLY);
      return { reader, writer: openSync(path, fs.O_WRONLY) };
    } finally {
      closeSync(both);
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/**
 * Writes to a pipe that somebody else reads, each piece while the next one is got; resolves to how many bytes.
 *
 * @param pieces Each may be overwritten when the second after it is asked for.
 */
export async function toPipe(
  descriptor: number,
  pieces: AsyncIterable<Uint8Array>,
): Promise<number> {
  // An open file of our own: whether to wait is set for all who have the same one open.
  const own = openSync(`/proc/self/fd/${descriptor}`, fs.O_WRONLY);
  let bytes = 0;
  let writing: Promise<void> = Promise.resolve();
  try {
    for await (const piece of pieces) {
      await writing;
      writing = writeAll(own, piece);
      // Told when its turn comes.
      writing.catch(() => undefined);
      bytes += piece.byteLength;
    }
    await writing;
  } finally {
    await writing.catch(() => undefined);
    closeSync(own);
  }
  return bytes;
}

async function writeAll(descriptor: number, piece: Uint8Array): Promise<void> {
  try {
    for (let at = 0; at < piece.byteLength; ) {
      at += (await writeTo(descriptor, piece, at, piece.byteLength - at, null)).bytesWritten;
    }
  } catch (thrown) {
    // At once, not when the next piece has come: what a reader that went away means is settled there for all output.
    process.stdout.emit("error", thrown);
    throw thrown;
  }
}
