import { expect, it } from "vitest";
import { KeyedQueue } from "./keyed-queue.ts";

const later = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it("works on several keys when all are free, and keeps others away from them", async () => {
  const queue = new KeyedQueue();
  const told: string[] = [];
  const step = (name: string) => async (): Promise<void> => {
    told.push(`${name} begins`);
    await later();
    told.push(`${name} ends`);
  };
  await Promise.all([
    queue.run("a", step("first")),
    queue.runAll(["a", "b", "b"], step("both")),
    later().then(() => queue.run("b", step("last"))),
  ]);
  expect(told.indexOf("both begins")).toBeGreaterThan(told.indexOf("first ends"));
  expect(told[told.indexOf("both begins") + 1]).toBe("both ends");
});

it("waits for nobody who waits for it", async () => {
  const queue = new KeyedQueue();
  const nested = queue.run("b", async () => {
    await later();
    await queue.run("a", later);
  });
  await Promise.all([nested, queue.runAll(["a", "b"], later), queue.runAll(["b", "a"], later)]);
});
