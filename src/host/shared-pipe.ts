/*
 * A pipe in shared memory between the event loop and one worker thread, for much data: the event loop never waits in it, the
 * thread does nothing else. One end writes, the other reads; either can close it.
 */

/** What it holds: so many pieces, each of up to so many bytes. */
const SLOTS = 8;
const SLOT_BYTES = 128 * 1024;

/** What crosses to the thread. */
export interface PipeMemory {
  /** Pieces written, pieces read, state; and the length of each slot. */
  readonly control: SharedArrayBuffer;
  readonly data: SharedArrayBuffer;
}

const WRITTEN = 0;
const READ = 1;
const STATE = 2;
const LENGTHS = 3;

const OPEN = 0;
/** Nothing more will be written. */
const ENDED = 1;
/** Nobody reads, or nobody wants what is written, any more. */
const CLOSED = 2;

/** A new pipe. */
export function makePipeMemory(): PipeMemory {
  return {
    control: new SharedArrayBuffer((LENGTHS + SLOTS) * Int32Array.BYTES_PER_ELEMENT),
    data: new SharedArrayBuffer(SLOTS * SLOT_BYTES),
  };
}

class PipeEnd {
  protected readonly control: Int32Array;
  readonly #data: SharedArrayBuffer;

  constructor({ control, data }: PipeMemory) {
    this.control = new Int32Array(control);
    this.#data = data;
  }

  /** True when nothing goes through any more. */
  get closed(): boolean {
    return Atomics.load(this.control, STATE) === CLOSED;
  }

  /** Stops both ends at once; what is in it is lost. */
  close(): void {
    Atomics.store(this.control, STATE, CLOSED);
    this.#wakeBoth();
  }

  /** The writer's: nothing more comes. */
  end(): void {
    Atomics.compareExchange(this.control, STATE, OPEN, ENDED);
    this.#wakeBoth();
  }

  /** The piece that `count` numbers. */
  protected slot(count: number): Buffer {
    return Buffer.from(this.#data, ((count >>> 0) % SLOTS) * SLOT_BYTES, SLOT_BYTES);
  }

  protected lengthAt(count: number): number {
    return LENGTHS + ((count >>> 0) % SLOTS);
  }

  /** The number of the next piece to write; undefined: it is full. */
  protected freeSlot(): number | undefined {
    const written = Atomics.load(this.control, WRITTEN);
    return ((written - Atomics.load(this.control, READ)) | 0) < SLOTS ? written : undefined;
  }

  protected publish(count: number, length: number): void {
    Atomics.store(this.control, this.lengthAt(count), length);
    Atomics.store(this.control, WRITTEN, (count + 1) | 0);
    Atomics.notify(this.control, WRITTEN);
  }

  /** The number of the next piece to read; undefined: it is empty, and `ended` says whether it stays so. */
  protected nextSlot(): { readonly count: number | undefined; readonly ended: boolean } {
    // In this order: what was written before the end is seen.
    const ended = Atomics.load(this.control, STATE) !== OPEN;
    const read = Atomics.load(this.control, READ);
    return { count: Atomics.load(this.control, WRITTEN) === read ? undefined : read, ended };
  }

  protected free(count: number): void {
    Atomics.store(this.control, READ, (count + 1) | 0);
    Atomics.notify(this.control, READ);
  }

  #wakeBoth(): void {
    // The counters stay, so whoever waits for one to change looks at the state when it wakes.
    Atomics.notify(this.control, WRITTEN);
    Atomics.notify(this.control, READ);
  }
}

/** How long a wait lasts at most before the state is looked at again, in milliseconds: a close between look and wait is no loss. */
const LOOK_MS = 100;

/** Longer than a wait lasts. */
const ALIVE_MS = 60_000;

/** The end of the event loop. */
export class LoopEnd extends PipeEnd {
  /** Writes all of it, when there is room. False: the other end is closed. */
  async write(bytes: Uint8Array): Promise<boolean> {
    for (let at = 0; at < bytes.length; ) {
      if (this.closed) return false;
      const count = this.freeSlot();
      if (count === undefined) {
        await this.#changed(READ, (Atomics.load(this.control, WRITTEN) - SLOTS) | 0);
        continue;
      }
      const piece = bytes.subarray(at, at + SLOT_BYTES);
      this.slot(count).set(piece);
      this.publish(count, piece.length);
      at += piece.length;
    }
    return !this.closed;
  }

  /** What comes, in pieces of the reader's own, until the end or a close. */
  async *read(): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const { count, ended } = this.nextSlot();
      if (this.closed) return;
      if (count !== undefined) {
        const length = Atomics.load(this.control, this.lengthAt(count));
        const piece = Buffer.from(this.slot(count).subarray(0, length));
        this.free(count);
        yield piece;
      } else if (ended) return;
      else await this.#changed(WRITTEN, Atomics.load(this.control, READ));
    }
  }

  async #changed(counter: number, from: number): Promise<void> {
    const waiting = Atomics.waitAsync(this.control, counter, from, LOOK_MS);
    if (!waiting.async) return;
    // Such a wait alone does not keep the process alive.
    const alive = setTimeout(() => undefined, ALIVE_MS);
    await waiting.value;
    clearTimeout(alive);
  }
}

/** The end of a thread. */
export class ThreadEnd extends PipeEnd {
  #filling: { readonly count: number; readonly slot: Buffer; length: number } | undefined;

  /** Room to write into, at least a byte; say with {@link wrote} how much it was. Undefined: the other end is closed. */
  room(): Buffer | undefined {
    for (;;) {
      if (this.closed) return undefined;
      if (this.#filling !== undefined) {
        return this.#filling.slot.subarray(this.#filling.length);
      }
      const count = this.freeSlot();
      if (count !== undefined) this.#filling = { count, slot: this.slot(count), length: 0 };
      else this.#wait(READ, (Atomics.load(this.control, WRITTEN) - SLOTS) | 0);
    }
  }

  /** So much of the room was filled. */
  wrote(sizeBytes: number): void {
    if (this.#filling === undefined) return;
    this.#filling.length += sizeBytes;
    if (this.#filling.length === SLOT_BYTES) this.flush();
  }

  /** Writes all of it. False: the other end is closed. */
  write(bytes: Uint8Array): boolean {
    for (let at = 0; at < bytes.length; ) {
      const room = this.room();
      if (room === undefined) return false;
      const piece = bytes.subarray(at, at + room.length);
      room.set(piece);
      this.wrote(piece.length);
      at += piece.length;
    }
    return true;
  }

  /** Hands over what was written. */
  flush(): void {
    if (this.#filling === undefined || this.#filling.length === 0) return;
    this.publish(this.#filling.count, this.#filling.length);
    this.#filling = undefined;
  }

  /** The next piece, which is valid until the next call; undefined: it has ended, or was closed. */
  take(): Buffer | undefined {
    if (this.#taken !== undefined) {
      this.free(this.#taken);
      this.#taken = undefined;
    }
    for (;;) {
      const { count, ended } = this.nextSlot();
      if (this.closed) return undefined;
      if (count !== undefined) {
        this.#taken = count;
        return this.slot(count).subarray(0, Atomics.load(this.control, this.lengthAt(count)));
      }
      if (ended) return undefined;
      this.#wait(WRITTEN, Atomics.load(this.control, READ));
    }
  }
  #taken: number | undefined;

  #wait(counter: number, from: number): void {
    Atomics.wait(this.control, counter, from, LOOK_MS);
  }
}
