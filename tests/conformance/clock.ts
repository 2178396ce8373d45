import { describe, expect, it } from "vitest";
import type { Clock } from "../../src/core/ports/clock.ts";

/** A clock, and how its time passes. */
export interface ClockHarness {
  readonly fresh: () => Clock;
  /** Lets time pass until `work` has settled, and gives what it gave. A real clock needs nothing for it. */
  readonly settle: <T>(clock: Clock, work: Promise<T>) => Promise<T>;
}

/** Holds a clock to the numbered sentences of `Clock`. */
export function clockConformance(name: string, harness: ClockHarness): void {
  const { fresh, settle } = harness;

  describe(`Clock: ${name}`, () => {
    it("0 now is whole milliseconds since the Unix epoch", () => {
      const now = fresh().now();
      expect(Number.isInteger(now)).toBe(true);
      expect(now).toBeGreaterThan(Date.UTC(2020));
      expect(now).toBeLessThan(Date.UTC(2200));
    });

    it("1 monotonic time never goes back", async () => {
      const clock = fresh();
      let last = clock.monotonic();
      for (let round = 0; round < 1000; round++) {
        if (round % 100 === 0) await settle(clock, clock.sleep(1, new AbortController().signal));
        const next = clock.monotonic();
        expect(next).toBeGreaterThanOrEqual(last);
        last = next;
      }
    });

    it.each([0, 0.5, 1, 2.25, 20])("2 a sleep of %d ms takes no less", async (durationMs) => {
      const clock = fresh();
      const { signal } = new AbortController();
      for (let round = 0; round < 10; round++) {
        const start = clock.monotonic();
        await settle(clock, clock.sleep(durationMs, signal));
        expect(clock.monotonic() - start).toBeGreaterThanOrEqual(durationMs);
      }
    });

    it("2 sleeps wake in the order of their deadlines", async () => {
      const clock = fresh();
      const { signal } = new AbortController();
      const woken: number[] = [];
      const sleeps = [60, 20, 40].map(async (durationMs) => {
        await clock.sleep(durationMs, signal);
        woken.push(durationMs);
      });
      await settle(clock, Promise.all(sleeps));
      expect(woken).toEqual([20, 40, 60]);
    });

    it("3 an abort rejects with its reason at once", async () => {
      const clock = fresh();
      const controller = new AbortController();
      const start = clock.monotonic();
      const sleeping = clock.sleep(3_600_000, controller.signal);
      controller.abort("enough");
      await expect(settle(clock, sleeping)).rejects.toBe("enough");
      expect(clock.monotonic() - start).toBeLessThan(3_600_000);
    });

    it("4 a turn ends", async () => {
      const clock = fresh();
      const start = clock.monotonic();
      await settle(clock, clock.turn());
      expect(clock.monotonic() - start).toBeLessThan(1_000);
    });

    it("3 a signal that has aborted before rejects likewise, also without time to sleep", async () => {
      const clock = fresh();
      const signal = AbortSignal.abort("enough");
      await expect(settle(clock, clock.sleep(3_600_000, signal))).rejects.toBe("enough");
      await expect(settle(clock, clock.sleep(0, signal))).rejects.toBe("enough");
    });
  });
}
