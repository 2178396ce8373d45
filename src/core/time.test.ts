import fc from "fast-check";
import { expect, it } from "vitest";
import { formatMinute } from "./time.ts";

it("tells the minute as the calendar does", () => {
  expect(formatMinute(0)).toBe("1970-01-01 00:00 UTC");
  expect(formatMinute(Date.UTC(2024, 1, 29, 23, 59, 59, 999))).toBe("2024-02-29 23:59 UTC");
  const times = fc.integer({ min: Date.UTC(1000, 0, 1), max: Date.UTC(9999, 11, 31) });
  fc.assert(
    fc.property(times, (time) => {
      const iso = new Date(time).toISOString();
      expect(formatMinute(time)).toBe(`${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC`);
    }),
  );
});
