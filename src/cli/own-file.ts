import { closeSync, fstatSync, openSync, read, readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import { Failure, type FailureCode } from "../core/failure.ts";
import { readAhead } from "./read-ahead.ts";

const readInto = promisify(read);

/*
 * Open files of this process that the daemon writes or reads itself, so that no byte goes through a connection. Only on one
 * machine, and as root; everything else sends the bytes.
 */

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
  write: () => Promise<number | null>,
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
  writing: Promise<number | null>,
): AsyncGenerator<Uint8Array> {
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
  const fill = async (piece: Uint8Array): Promise<number> => {
    for (;;) {
      const last = ended;
      const ready = Math.min(fstatSync(reader).size - at, piece.length);
      if (ready > 0) {
        const { bytesRead } = await readInto(reader, piece, 0, ready, at);
        at += bytesRead;
        return bytesRead;
      }
      if (last) return 0;
      await Promise.race([over, setTimeout(LOOK_MS)]);
    }
  };
  try {
    yield* readAhead(fill);
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

/** Does `work` with a file or pipe of this process; undefined: the daemon cannot, and has not touched it. */
export async function unlessUnable<T>(
  untouched: (failure: Failure) => boolean,
  work: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await work();
  } catch (thrown) {
    if (thrown instanceof Failure && CANNOT.has(thrown.code) && untouched(thrown)) return undefined;
    throw thrown;
  }
}

/** Of what is read from a pipe the daemon alone knows. */
export function saidUntouched({ detail }: Failure): boolean {
  return detail["untouched"] === true;
}

/** Tells whether a file still stands where it stands now. */
export function standingStill(descriptor: number): () => boolean {
  const from = positionOf(descriptor);
  return () => positionOf(descriptor) === from;
}
