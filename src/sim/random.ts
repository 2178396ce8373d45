import { invariant } from "../core/failure.ts";
import type { Random } from "../core/ports/random.ts";

const TWO_32 = 2 ** 32;

/** sfc32 (PractRand's small fast counter): 128 bits of state, one stream for each seed. */
export class SimRandom implements Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number) {
    this.#a = seed | 0;
    this.#b = Math.floor(seed / TWO_32) | 0;
    this.#c = 0x9e3779b9 | 0;
    // The first outputs of near seeds are alike; twelve rounds part them, as in PractRand.
    for (let round = 0; round < 12; round++) this.#next();
  }

  bytes(count: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(count);
    for (let index = 0; index < count; index += 4) {
      const word = this.#next();
      for (let at = 0; at < 4 && index + at < count; at++) bytes[index + at] = word >>> (8 * at);
    }
    return bytes;
  }

  below(limit: number): number {
    invariant(
      Number.isInteger(limit) && limit >= 1 && limit <= TWO_32,
      `a limit of random numbers is 1 to 2^32, not ${limit}`,
    );
    // Words at or above the last whole multiple of the limit would favor small numbers.
    const fair = TWO_32 - (TWO_32 % limit);
    let word = this.#next();
    while (word >= fair) word = this.#next();
    return word % limit;
  }

  /** A generator of its own, whose stream follows from this one's next number. */
  fork(): SimRandom {
    return new SimRandom(this.#next() * TWO_32 + this.#next());
  }

  #next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    this.#c |= 0;
    return sum >>> 0;
  }
}
