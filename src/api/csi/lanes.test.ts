import { expect, it } from "vitest";
import { inWords, Lanes } from "./lanes.ts";

/** Work that ends when it is told to. */
function held(): { readonly work: () => Promise<string>; readonly end: () => void; runs: number } {
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const one = {
    runs: 0,
    end: () => end(),
    work: async () => {
      one.runs += 1;
      await ended;
      return "done";
    },
  };
  return one;
}

it("who asks the same while it is under way gets its outcome", async () => {
  const lanes = new Lanes();
  const one = held();
  const asked = [1, 2, 3].map(() => lanes.run("volume/a", "stage", one.work));
  one.end();
  expect(await Promise.all(asked)).toEqual(["done", "done", "done"]);
  expect(one.runs).toBe(1);
  await lanes.run("volume/a", "stage", one.work);
  expect(one.runs).toBe(2);
});

it("other work on the same waits for its turn, and gives up without having begun, for good", async () => {
  const lanes = new Lanes(20);
  const hung = held();
  const first = lanes.run("volume/a", "stage", hung.work);
  const second = held();
  const aborted = { code: "aborted" };
  await expect(lanes.run("volume/a", "unstage", second.work)).rejects.toMatchObject(aborted);
  // The one that gave up must not have opened the way for this one.
  await expect(lanes.run("volume/a", "publish", second.work)).rejects.toMatchObject(aborted);
  const other = held();
  other.end();
  expect(await lanes.run("volume/b", "stage", other.work)).toBe("done");
  hung.end();
  expect(await first).toBe("done");
  expect(second.runs).toBe(0);
  second.end();
  expect(await lanes.run("volume/a", "unstage", second.work)).toBe("done");
});

it("no more than sixteen wait", async () => {
  const lanes = new Lanes();
  const one = held();
  const all = Array.from({ length: 16 }, (_, index) => lanes.run("a", String(index), one.work));
  await expect(lanes.run("a", "16", one.work)).rejects.toMatchObject({ code: "aborted" });
  one.end();
  await Promise.all(all);
});

it("tells equal requests whatever the order of their maps", () => {
  const words = inWords({ a: 1n, map: { x: "1", y: "2" } });
  expect(inWords({ map: { y: "2", x: "1" }, a: 1n })).toBe(words);
  expect(inWords({ map: { y: "2", x: "2" }, a: 1n })).not.toBe(words);
});
