import { describe, expect, it } from "vitest";
import type { Random } from "../../src/core/ports/random.ts";

/** How the suite makes the generators that it holds to the contract. */
export interface RandomHarness {
  readonly fresh: () => Random;
}

/** Holds a generator to the numbered sentences of `Random`. */
export function randomConformance(name: string, { fresh }: RandomHarness): void {
  describe(`Random: ${name}`, () => {
    it("1 gives as many bytes as asked for, in an array of the caller's own", () => {
      const random = fresh();
      for (const count of [0, 1, 3, 16, 4096]) {
        const bytes = random.bytes(count);
        expect(bytes.length).toBe(count);
        expect(bytes.buffer.byteLength).toBe(count);
      }
      const first = random.bytes(16);
      const copy = first.slice();
      random.bytes(16).fill(0);
      expect(first).toEqual(copy);
    });

    it("1 gives fresh bytes each time", () => {
      const random = fresh();
      const seen = new Set(
        Array.from({ length: 1000 }, () => Buffer.from(random.bytes(16)).toString("hex")),
      );
      expect(seen.size).toBe(1000);
    });

    it("1 gives every byte value", () => {
      expect(new Set(fresh().bytes(65_536)).size).toBe(256);
    });

    it.each([1, 2, 3, 255, 65_537, 2 ** 31, 2 ** 32])("2 stays below %d", (limit) => {
      const random = fresh();
      for (let round = 0; round < 1000; round++) {
        const number = random.below(limit);
        expect(Number.isInteger(number)).toBe(true);
        expect(number).toBeGreaterThanOrEqual(0);
        expect(number).toBeLessThan(limit);
      }
    });

    it("2 gives every number about as often", () => {
      const random = fresh();
      const counts = Array.from({ length: 10 }, () => 0);
      for (let round = 0; round < 100_000; round++) {
        const number = random.below(10);
        counts[number] = (counts[number] ?? 0) + 1;
      }
      // 10,000 each, give or take ten standard deviations.
      for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(1000);
    });

    it("2 reaches the upper half of its widest range", () => {
      const random = fresh();
      const numbers = Array.from({ length: 200 }, () => random.below(2 ** 32));
      expect(numbers.some((number) => number >= 2 ** 31)).toBe(true);
      expect(numbers.some((number) => number < 2 ** 31)).toBe(true);
    });
  });
}
