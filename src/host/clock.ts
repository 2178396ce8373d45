import { setTimeout } from "node:timers/promises";
import type { Clock } from "../core/ports/clock.ts";

/** The machine's time. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (durationMs, signal) => {
    signal.throwIfAborted();
    const wakesAt = performance.now() + durationMs;
    try {
      // A timer may fire up to a millisecond early.
      for (let left = durationMs; left > 0; left = wakesAt - performance.now()) {
        await setTimeout(Math.ceil(left), undefined, { signal });
      }
    } catch (thrown) {
      signal.throwIfAborted();
      throw thrown;
    }
  },
};
