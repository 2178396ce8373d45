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

  /**
   * Runs work on several keys, alone on all of them. It takes them when all are free, and holds none while it waits for
   * another: so it never waits for somebody who waits for it.
   */
  async runAll<T>(keys: readonly string[], work: () => Promise<T>): Promise<T> {
    const all = [...new Set(keys)];
    for (;;) {
      const busy = all.flatMap((key) => this.#lanes.get(key)?.last ?? []);
      if (busy.length === 0) break;
      await Promise.allSettled(busy);
    }
    let end = (): void => undefined;
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const held = all.map((key) => this.run(key, () => ended));
    try {
      return await work();
    } finally {
      end();
      await Promise.all(held);
    }
  }
}
