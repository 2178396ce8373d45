import { fstat } from "node:fs";
import { readFile } from "node:fs/promises";
import { pipeline, Readable } from "node:stream";
import { promisify } from "node:util";
import { constants, createZstdCompress } from "node:zlib";
import { Failure } from "../core/failure.ts";
import type { PackOptions } from "../core/ports/archive.ts";
import { BoxedTar } from "./archive-box.ts";
import { statDirectory } from "./archive-directory.ts";
import { closeTheirs, makeChildPipe, readerOf } from "./pipe.ts";

const statFile = promisify(fstat);

/*
 * GNU tar 1.34 reads the tree: by descriptors relative to their directory and without following links, so that nothing
 * that is swapped meanwhile leads it out.
 */
const CREATE: readonly string[] = [
  ...["--create", "--file=-", "--format=posix", "--sort=name", "--numeric-owner", "--sparse"],
  // What differs each time the same tree is packed is left out; the names of headers are only for old programs.
  "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
  ...["--one-file-system", "--acls", "--xattrs"],
  ...["--xattrs-include=user.*", "--xattrs-include=trusted.*", "--xattrs-include=security.*"],
  ...["--warning=no-file-ignored", "--warning=no-xdev"],
];

/** What tar ends with when a file changed, or vanished, while it was read. */
const CHANGED_STATUS = 1;
/** What it says when something was swapped for another kind meanwhile. */
const SWAPPED =
  /: (Too many levels of symbolic links|Not a directory|Cannot readlink: Invalid argument)$/m;

/** `Archive.pack`. */
export async function* packTree(
  directory: string,
  { compress, live = false }: PackOptions,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  signal.throwIfAborted();
  await statDirectory("pack", directory);
  const pipe = await makeChildPipe("we read");
  const tar = startTar(directory, pipe.theirs, () => closeTheirs(pipe));
  const plain = readerOf(pipe);
  const kill = () => tar.kill();
  signal.addEventListener("abort", kill, { once: true });
  try {
    yield* compress === "zstd" ? compressed(plain) : plain;
    await ensureWhole(tar, live, signal);
  } finally {
    signal.removeEventListener("abort", kill);
    tar.kill();
    await plain.return();
    await tar.ended;
  }
}

/** `Archive.packInto`. */
export async function packTreeInto(
  directory: string,
  descriptor: number,
  { live = false }: Pick<PackOptions, "live">,
  signal: AbortSignal,
): Promise<number | null> {
  signal.throwIfAborted();
  await statDirectory("pack", directory);
  const pipe = (await statFile(descriptor)).isFIFO();
  const begin = await positionOf(descriptor);
  const tar = startTar(directory, descriptor);
  const kill = () => tar.kill();
  signal.addEventListener("abort", kill, { once: true });
  try {
    await ensureWhole(tar, live, signal);
    return pipe ? null : (await positionOf(descriptor)) - begin;
  } finally {
    signal.removeEventListener("abort", kill);
    tar.kill();
    await tar.ended;
  }
}

function startTar(directory: string, stdout: number, started: () => void = () => undefined) {
  try {
    return BoxedTar.start("nameless", directory, CREATE, stdout);
  } finally {
    started();
  }
}

/** Where an open file stands: tar has the same one open, and moves it. */
async function positionOf(descriptor: number): Promise<number> {
  const info = await readFile(`/proc/self/fdinfo/${descriptor}`, "utf8");
  return Number(/^pos:\t(\d+)$/m.exec(info)?.[1]);
}

async function ensureWhole(tar: BoxedTar, live: boolean, signal: AbortSignal): Promise<void> {
  const status = await tar.ended;
  signal.throwIfAborted();
  if (status === 0 || (live && status === CHANGED_STATUS)) return;
  if (status === CHANGED_STATUS || SWAPPED.test(tar.said)) {
    throw new Failure(
      "aborted",
      "Cannot pack the tree: it changed while it was read; pack a snapshot of it",
    );
  }
  throw tar.failure("pack the tree", status, "unknown");
}

/** In a thread of libuv's, one at a time for each archive. */
function compressed(plain: AsyncIterable<Uint8Array>): Readable {
  const zstd = createZstdCompress({ params: { [constants.ZSTD_c_checksumFlag]: 1 } });
  // Its error comes out of the iteration.
  return pipeline(Readable.from(plain, { objectMode: false }), zstd, () => undefined);
}
