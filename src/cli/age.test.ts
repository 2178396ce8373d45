import { expect, it } from "vitest";
import { formatAge } from "./age.ts";

const now = Date.parse("2026-01-02T00:00:00Z");
const at = (ms: number): string => new Date(now + ms).toISOString();

it.each([
  [0, "0 seconds ago"],
  [-1_000, "1 second ago"],
  [-119_000, "119 seconds ago"],
  [-120_000, "2 minutes ago"],
  [-90 * 60_000, "90 minutes ago"],
  [-26 * 3_600_000, "26 hours ago"],
  [-3 * 86_400_000, "3 days ago"],
  [-800 * 86_400_000, "2 years ago"],
  [24 * 3_600_000, "in 24 hours"],
])("%d ms from now is %s", (ms, shown) => {
  expect(formatAge(at(ms), now)).toBe(shown);
});
