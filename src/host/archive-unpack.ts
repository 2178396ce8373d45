import type { Socket } from "node:net";
import { setImmediate } from "node:timers/promises";
import { Gate } from "../core/archive/gate.ts";
import { ARCHIVE_ENTRIES_LIMIT, type Unpacked, type UnpackOptions } from "../core/ports/archive.ts";
import { BoxedTar } from "./archive-box.ts";
import { checkEmptyDirectory } from "./archive-directory.ts";
import { ArchiveInput } from "./archive-input.ts";
import { failureOfErrno } from "./errno.ts";
import { hostExec } from "./exec.ts";
import { type ChildPipe, closeTheirs, makeChildPipe, writerOf } from "./pipe.ts";

const EXTRACT: readonly string[] = [
  ...["--extract", "--file=-", "--same-permissions", "--same-owner", "--numeric-owner"],
  // A directory's time and mode are set at the very end: its entries may come in any order.
  "--delay-directory-restore",
  ...["--xattrs", "--xattrs-include=*", "--acls", "--warning=no-timestamp"],
  // The gate has seen to the names. Without it tar makes a file for each symbolic link, and the link at the end: also where
  // a later entry of that name took the file's inode (1.34).
  "--absolute-names",
];

/** After so many bytes what was unpacked so far is flushed, beside what goes on. */
const FLUSH_EACH_BYTES = 256 * 1024 ** 2;
/** Longest flush of what was unpacked, in milliseconds: an hour. */
const FLUSH_TIMEOUT_MS = 3_600_000;

/** `Archive.unpack`. */
export async function unpackTree(
  stream: AsyncIterable<Uint8Array>,
  directory: string,
  options: UnpackOptions,
  signal: AbortSignal,
): Promise<Unpacked> {
  signal.throwIfAborted();
  await checkEmptyDirectory("unpack into", directory);
  const gate = new Gate({
    bytes: options.limitBytes,
    entries: options.limitEntries ?? ARCHIVE_ENTRIES_LIMIT,
    devices: options.devices ?? false,
  });
  const extraction = new Extraction(directory, signal);
  const input = new ArchiveInput(stream, extraction.stop);
  try {
    for await (const plain of input.plain()) await extraction.write(gate.push(plain));
    await extraction.write(gate.end());
    await extraction.finish();
  } finally {
    await extraction.close();
  }
  await flush(directory, signal);
  return {
    entries: gate.entries,
    plainBytes: gate.plainBytes,
    receivedBytes: input.receivedBytes,
    sha256: input.sha256(),
    notes: gate.notes,
  };
}

/** A tar that is fed what passed the gate; it is started with the first of it. */
class Extraction {
  readonly #directory: string;
  readonly #signal: AbortSignal;
  readonly #failed = new AbortController();
  #running: { readonly tar: BoxedTar; readonly stdin: Socket } | undefined;
  readonly #stopped = Promise.withResolvers<void>();
  #joined = Buffer.alloc(0);
  #unflushedBytes = 0;
  #flushing: Promise<void> | undefined;
  readonly #closing = new AbortController();
  /** Aborts when the caller gave up, or tar failed: with what to throw. */
  readonly stop: AbortSignal;

  constructor(directory: string, signal: AbortSignal) {
    this.#directory = directory;
    this.#signal = signal;
    this.stop = AbortSignal.any([signal, this.#failed.signal]);
    this.stop.addEventListener("abort", () => this.#stopped.resolve(), { once: true });
  }

  async write(parts: readonly Uint8Array[]): Promise<void> {
    // A stream that always has more at hand would leave the event loop no time: not even to hear that tar has ended.
    await setImmediate();
    this.stop.throwIfAborted();
    if (parts.length === 0) return;
    this.#running ??= await this.#start();
    const { tar, stdin } = this.#running;
    const together = this.#join(parts);
    // Until all of it is taken: whose bytes they are may then change them.
    const taken = new Promise<void>((resolve) => stdin.write(together, () => resolve()));
    await Promise.race([taken, this.#stopped.promise]);
    if (stdin.destroyed) await tar.ended;
    this.stop.throwIfAborted();
    this.#flushNow(together.length);
  }

  /** In one piece, in the same memory each time: many small writes cost more than a copy. */
  #join(parts: readonly Uint8Array[]): Uint8Array {
    const [only] = parts;
    if (only !== undefined && parts.length === 1) return only;
    const size = parts.reduce((sum, part) => sum + part.length, 0);
    if (this.#joined.length < size) this.#joined = Buffer.allocUnsafeSlow(size);
    let at = 0;
    for (const part of parts) {
      this.#joined.set(part, at);
      at += part.length;
    }
    return this.#joined.subarray(0, size);
  }

  /** Has the disk begin while there is more to come: what is left at the end is waited for. */
  #flushNow(sizeBytes: number): void {
    this.#unflushedBytes += sizeBytes;
    if (this.#unflushedBytes < FLUSH_EACH_BYTES || this.#flushing !== undefined) return;
    this.#unflushedBytes = 0;
    this.#flushing = flush(this.#directory, AbortSignal.any([this.stop, this.#closing.signal]))
      // The last one, which is awaited, tells what is wrong.
      .catch(() => undefined)
      .finally(() => {
        this.#flushing = undefined;
      });
  }

  /** Waits until all of it is unpacked. */
  async finish(): Promise<void> {
    this.#running?.stdin.end();
    const tar = this.#running?.tar;
    const status = await tar?.ended;
    this.#signal.throwIfAborted();
    if (status !== 0 || tar?.said !== "") this.#failed.signal.throwIfAborted();
  }

  /** Ends it, finished or not. */
  async close(): Promise<void> {
    this.#running?.stdin.destroy();
    this.#running?.tar.kill();
    await this.#running?.tar.ended;
    this.#closing.abort();
    await this.#flushing;
  }

  async #start(): Promise<{ readonly tar: BoxedTar; readonly stdin: Socket }> {
    const pipe = await makeChildPipe("we write");
    const tar = startTar(this.#directory, pipe);
    const stdin = writerOf(pipe);
    // A tar that has ended takes no more; its status says why.
    stdin.on("error", () => undefined);
    const fail = (status: number | null) =>
      this.#failed.abort(tar.failure("unpack the archive", status, "invalid_argument"));
    // Whatever it says is something that was not kept, although it goes on.
    tar.onSaid = () => {
      if (tar.said.includes("\n")) fail(null);
    };
    tar.ended.then(fail, (thrown) => this.#failed.abort(thrown));
    this.stop.addEventListener("abort", () => tar.kill(), { once: true });
    return { tar, stdin };
  }
}

function startTar(directory: string, pipe: ChildPipe): BoxedTar {
  try {
    return BoxedTar.start("confined", directory, EXTRACT, pipe.theirs);
  } finally {
    closeTheirs(pipe);
  }
}

async function flush(directory: string, signal: AbortSignal): Promise<void> {
  const argv = ["sync", "--file-system", directory] as const;
  const { code } = await hostExec.run(argv, { timeoutMs: FLUSH_TIMEOUT_MS }, signal);
  if (code !== 0) throw failureOfErrno("flush", directory, "EIO");
}
