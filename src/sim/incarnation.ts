import type { Owner, SimClock } from "./clock.ts";
import type { SimRandom } from "./random.ts";

/**
 * One run of our process on a simulated machine. Once it is dead nothing that it waits for resolves, and nothing
 * that it still calls has an effect: what is left of it in the heap is as good as gone.
 */
export class Incarnation implements Owner {
  #alive = true;
  readonly #clock: SimClock;
  readonly #random: SimRandom;
  readonly #maxTurns: number;

  /** @param maxTurns Each call takes 1 to so many microtasks before it has its effect: see `MachineOptions`. */
  constructor(clock: SimClock, random: SimRandom, maxTurns: number) {
    this.#clock = clock;
    this.#random = random;
    this.#maxTurns = maxTurns;
  }

  get alive(): boolean {
    return this.#alive;
  }

  die(): void {
    this.#alive = false;
  }

  /** One call: waits its turn, has its effect at one instant, and answers, unless the process is dead by then. */
  async call<T>(effect: () => T): Promise<T> {
    this.#clock.noteCall();
    const turns = this.#maxTurns === 1 ? 1 : 1 + this.#random.below(this.#maxTurns);
    for (let turn = 0; turn < turns; turn++) await null;
    if (!this.#alive) return never();
    const result = effect();
    await null;
    return this.#alive ? result : never();
  }
}

/** A promise that nothing settles; a new one each time, so that nothing gathers on a shared one. */
export function never(): Promise<never> {
  return new Promise(() => {});
}
