import { closeSync, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { setImmediate, setTimeout } from "node:timers/promises";
import { Failure, type FailureCode } from "../core/failure.ts";

/*
 * Open files of this process that the daemon writes or reads itself, so that no byte goes through a connection. Only on one
 * machine, and as root; everything else sends the bytes.
 */

/** What is read at once. */
const PIECE_BYTES = 256 * 1024;
/** How often a file that does not grow is looked at, in milliseconds. */
const LOOK_MS = 2;
/** What a daemon says that cannot do it, or does not know it. */
const CANNOT: ReadonlySet<FailureCode> = new Set([
  "unimplemented",
  "invalid_argument",
  "not_found",
]);

/** Where an open file stands; undefined: it is none with a place. */
export function positionOf(descriptor: number): number | undefined {
  try {
    if (!fstatSync(descriptor).isFile()) return undefined;
    const info = readFileSync(`/proc/self/fdinfo/${descriptor}`, "utf8");
    return Number(/^pos:\t(\d+)$/m.exec(info)?.[1] ?? Number.NaN);
  } catch {
    return undefined;
  }
}

/**
 * Has `write` write to the end of an open file, and gives what is in it from there on, as it grows.
 *
 * @param write Resolves to how many bytes.
 * @returns Undefined: the file is not one to write to so, or to read what was written.
 */
export function writtenTo(
  descriptor: number,
  write: () => Promise<number>,
): AsyncGenerator<Uint8Array> | undefined {
  const from = positionOf(descriptor);
  if (from === undefined || from !== fstatSync(descriptor).size) return undefined;
  try {
    const reader = openSync(`/proc/self/fd/${descriptor}`, "r");
    return readBehind(reader, from, write());
  } catch {
    return undefined;
  }
}

async function* readBehind(
  reader: number,
  from: number,
  writing: Promise<number>,
): AsyncGenerator<Uint8Array> {
  const piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
  let ended = false;
  const over = writing.then(
    () => {
      ended = true;
    },
    () => {
      ended = true;
    },
  );
  let at = from;
  try {
    for (;;) {
      const last = ended;
      const length = readSync(reader, piece, 0, piece.length, at);
      at += length;
      if (length > 0) yield piece.subarray(0, length);
      else if (last) break;
      // The answer is heard only when the event loop has its turn.
      await (length > 0 ? setImmediate() : Promise.race([over, setTimeout(LOOK_MS)]));
    }
  } finally {
    closeSync(reader);
  }
  const bytes = await writing;
  if (bytes === at - from) return;
  throw new Failure(
    "aborted",
    `Cannot check the archive: ${bytes} bytes were written, ${at - from} are there; let nothing else write to the file`,
  );
}

/** Does `work` with the file; undefined: the daemon cannot, and has not touched it. */
export async function unlessUnable<T>(
  descriptor: number,
  work: () => Promise<T>,
): Promise<T | undefined> {
  const from = positionOf(descriptor);
  try {
    return await work();
  } catch (thrown) {
    const untouched = positionOf(descriptor) === from;
    if (thrown instanceof Failure && CANNOT.has(thrown.code) && untouched) return undefined;
    throw thrown;
  }
}
