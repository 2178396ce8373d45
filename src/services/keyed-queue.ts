import { Failure } from "../core/failure.ts";

/** How many callers may wait for one key; more are refused with `aborted`. */
export const QUEUE_LIMIT = 1_024;

/** Runs work on one key one at a time, in the order of asking; different keys never wait for each other. */
export class KeyedQueue {
  readonly #lanes = new Map<string, { last: Promise<unknown>; waiting: number }>();

  /** @throws {Failure} `aborted` when {@link QUEUE_LIMIT} callers wait already; else what `work` throws. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const lane = this.#lanes.get(key) ?? { last: Promise.resolve(), waiting: 0 };
    if (lane.waiting >= QUEUE_LIMIT) {
      throw new Failure(
        "aborted",
        `Cannot work on "${key}": ${lane.waiting} requests for it wait already; try again later`,
      );
    }
    this.#lanes.set(key, lane);
    lane.waiting++;
    const mine = lane.last.then(work, work);
    lane.last = mine;
    try {
      return await mine;
    } finally {
      lane.waiting--;
      if (lane.waiting === 0) this.#lanes.delete(key);
    }
  }
}
