/** A stream whose reader may stop early, and whose bytes are all seen nonetheless. */
export class TappedStream implements AsyncIterable<Uint8Array> {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #see: (bytes: Uint8Array) => void;

  /** @param see Called with each chunk, in order, before the reader gets it. */
  constructor(source: AsyncIterable<Uint8Array>, see: (bytes: Uint8Array) => void) {
    this.#source = source[Symbol.asyncIterator]();
    this.#see = see;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    // Without `return`: a reader that has enough must not end the source.
    return { next: () => this.#next() };
  }

  /** Reads what nobody has read. */
  async drain(): Promise<void> {
    while ((await this.#next()).done !== true);
  }

  async #next(): Promise<IteratorResult<Uint8Array>> {
    const result = await this.#source.next();
    if (result.done !== true) this.#see(result.value);
    return result;
  }
}
