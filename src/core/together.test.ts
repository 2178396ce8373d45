import { expect, it } from "vitest";
import { makeSeats } from "./together.ts";

it("does all parts at once when the last has come, or gone", async () => {
  const [a, b, c] = makeSeats(3);
  const acts: unknown[] = [];
  const act = async (parts: readonly string[]): Promise<void> => {
    acts.push(parts);
  };
  const first = a?.join("a", act);
  const second = b?.join("b", act);
  await Promise.resolve();
  expect(acts).toEqual([]);
  c?.leave();
  c?.leave();
  await Promise.all([first, second]);
  expect(acts).toEqual([["a", "b"]]);
  a?.leave();
  expect(acts).toHaveLength(1);
});

it("tells everybody of a failure", async () => {
  const [a, b] = makeSeats(2);
  const act = (): Promise<void> => Promise.reject(new Error("no room"));
  const both = [a?.join("a", act), b?.join("b", act)];
  for (const one of both) await expect(one).rejects.toThrow("no room");
});
