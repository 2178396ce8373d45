import { once } from "node:events";
import type { Socket } from "node:net";
import { setImmediate } from "node:timers/promises";
import { Gate } from "../core/archive/gate.ts";
import { ARCHIVE_ENTRIES_LIMIT, type Unpacked, type UnpackOptions } from "../core/ports/archive.ts";
import { BoxedTar } from "./archive-box.ts";
import { checkEmptyDirectory } from "./archive-directory.ts";
import { ArchiveInput } from "./archive-input.ts";
import { failureOfErrno } from "./errno.ts";
import { hostExec } from "./exec.ts";
import { makeChildPipe, writerOf } from "./pipe.ts";

const EXTRACT: readonly string[] = [
  ...["--extract", "--file=-", "--same-permissions", "--same-owner", "--numeric-owner"],
  // A directory's time and mode are set at the very end: its entries may come in any order.
  "--delay-directory-restore",
  ...["--xattrs", "--xattrs-include=*", "--acls", "--warning=no-timestamp"],
  // The gate has seen to the names. Without it tar makes a file for each symbolic link, and the link at the end: also where
  // a later entry of that name took the file's inode (1.34).
  "--absolute-names",
];

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
  /** Aborts when the caller gave up, or tar failed: with what to throw. */
  readonly stop: AbortSignal;

  constructor(directory: string, signal: AbortSignal) {
    this.#directory = directory;
    this.#signal = signal;
    this.stop = AbortSignal.any([signal, this.#failed.signal]);
  }

  async write(parts: readonly Uint8Array[]): Promise<void> {
    // A stream that always has more at hand would leave the event loop no time: not even to hear that tar has ended.
    await setImmediate();
    this.stop.throwIfAborted();
    if (parts.length === 0) return;
    this.#running ??= await this.#start();
    const { tar, stdin } = this.#running;
    // Together, in one call of the system.
    stdin.cork();
    for (const part of parts) stdin.write(part);
    stdin.uncork();
    if (stdin.writableNeedDrain) {
      await once(stdin, "drain", { signal: this.stop }).catch(() => undefined);
    }
    if (stdin.destroyed) await tar.ended;
    this.stop.throwIfAborted();
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
  }

  async #start(): Promise<{ readonly tar: BoxedTar; readonly stdin: Socket }> {
    const pipe = await makeChildPipe("we write");
    const tar = BoxedTar.start("confined", this.#directory, EXTRACT, pipe);
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

async function flush(directory: string, signal: AbortSignal): Promise<void> {
  const argv = ["sync", "--file-system", directory] as const;
  const { code } = await hostExec.run(argv, { timeoutMs: FLUSH_TIMEOUT_MS }, signal);
  if (code !== 0) throw failureOfErrno("flush", directory, "EIO");
}
