import { createHash } from "node:crypto";
import { Readable, type Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { refusal } from "../core/archive/block.ts";

/** Largest piece that is worked on at once: the event loop waits for it. */
const PIECE_BYTES = 256 * 1024;
/** How many bytes tell what the rest is. */
const MAGIC_BYTES = 4;

/** An archive as it comes in: counted, hashed, and made plain. */
export class ArchiveInput {
  readonly #stream: AsyncIterable<Uint8Array>;
  readonly #stop: AbortSignal;
  readonly #hash = createHash("sha256");
  #receivedBytes = 0;

  /** @param stop Aborts when nobody waits for it any more: what is being waited for then rejects with its reason. */
  constructor(stream: AsyncIterable<Uint8Array>, stop: AbortSignal) {
    this.#stream = stream;
    this.#stop = stop;
  }

  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Of all bytes that came; once. */
  sha256(): string {
    return this.#hash.digest("hex");
  }

  /** The plain bytes, in pieces of limited size. @throws {Failure} `invalid_argument` when the compression is damaged. */
  async *plain(): AsyncIterable<Uint8Array> {
    const pieces = this.#received();
    try {
      const head: Uint8Array[] = [];
      let size = 0;
      while (size < MAGIC_BYTES) {
        const { value, done } = await pieces.next();
        if (done === true) break;
        head.push(value);
        size += value.length;
      }
      const all = prepend(head, pieces);
      const packer = packerOf(Buffer.concat(head).subarray(0, MAGIC_BYTES));
      yield* packer === undefined ? all : this.#unpacked(all, packer);
    } finally {
      await pieces.return(undefined);
    }
  }

  async *#unpacked(
    packed: AsyncIterable<Uint8Array>,
    { name, stream }: Packer,
  ): AsyncIterable<Uint8Array> {
    let fault: { readonly thrown: unknown } | undefined;
    const source = Readable.from(
      (async function* () {
        try {
          yield* packed;
        } catch (thrown) {
          fault = { thrown };
          throw thrown;
        }
      })(),
      { objectMode: false },
    );
    const done = pipeline(source, stream, { signal: this.#stop });
    done.catch(() => undefined);
    try {
      yield* stream;
      await done;
    } catch {
      this.#stop.throwIfAborted();
      if (fault !== undefined) throw fault.thrown;
      throw refusal(`its ${name} compression is damaged or cut off`);
    } finally {
      source.destroy();
      stream.destroy();
    }
  }

  async *#received(): AsyncGenerator<Uint8Array, undefined, undefined> {
    const stopped = Promise.withResolvers<never>();
    stopped.promise.catch(() => undefined);
    const stop = () => stopped.reject(this.#stop.reason);
    this.#stop.throwIfAborted();
    this.#stop.addEventListener("abort", stop, { once: true });
    const iterator = this.#stream[Symbol.asyncIterator]();
    let ended = false;
    try {
      for (;;) {
        const { value, done } = await Promise.race([iterator.next(), stopped.promise]);
        ended = done === true;
        if (done === true) return;
        for (let at = 0; at < value.length; at += PIECE_BYTES) {
          const piece = value.subarray(at, at + PIECE_BYTES);
          this.#hash.update(piece);
          this.#receivedBytes += piece.length;
          yield piece;
        }
      }
    } finally {
      this.#stop.removeEventListener("abort", stop);
      // Not awaited: one that waits for its own source only stops after that.
      if (!ended) iterator.return?.().catch(() => undefined);
    }
  }
}

interface Packer {
  readonly name: string;
  readonly stream: Transform;
}

/** What makes bytes that begin so plain; undefined when they are. */
function packerOf(head: Uint8Array): Packer | undefined {
  const [a, b, c, d] = head;
  if (a === 0x1f && b === 0x8b) return { name: "gzip", stream: createGunzip() };
  const isFrame = a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd;
  // zstd's frames for other things, which are passed over: pzstd begins with one.
  const isSkipped = a !== undefined && a >> 4 === 5 && b === 0x2a && c === 0x4d && d === 0x18;
  return isFrame || isSkipped ? { name: "zstd", stream: createZstdDecompress() } : undefined;
}

async function* prepend(
  head: readonly Uint8Array[],
  rest: AsyncIterable<Uint8Array>,
): AsyncIterable<Uint8Array> {
  yield* head;
  yield* rest;
}
