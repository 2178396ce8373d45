import { expect, it } from "vitest";
import { lastMade } from "./last-made.ts";

it("makes anew only of other objects, and gives the same until then", () => {
  let made = 0;
  const sum = lastMade((a: readonly number[], b: readonly number[]) => {
    made++;
    return [...a, ...b];
  });
  const [a, b] = [[1], [2]];
  expect(sum(a, b)).toBe(sum(a, b));
  expect(made).toBe(1);
  expect(sum(a, [3])).toEqual([1, 3]);
  expect(sum([1], [3])).toEqual([1, 3]);
  expect(made).toBe(3);
});
