import { setImmediate, setTimeout } from "node:timers/promises";
import type { Clock } from "../core/ports/clock.ts";

/** CLOCK_MONOTONIC, which every process has alike; `performance.now()` counts from the start of its own. */
function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** The machine's time. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: monotonicMs,
  turn: () => setImmediate(),
  sleep: async (durationMs, signal) => {
    signal.throwIfAborted();
    const wakesAt = monotonicMs() + durationMs;
    try {
      // A timer may fire up to a millisecond early.
      for (let left = durationMs; left > 0; left = wakesAt - monotonicMs()) {
        await setTimeout(Math.ceil(left), undefined, { signal });
      }
    } catch (thrown) {
      signal.throwIfAborted();
      throw thrown;
    }
  },
};
