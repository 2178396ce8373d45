import { expect, it } from "vitest";
import { SimClock } from "./clock.ts";
import { failingAt } from "./failing.ts";

function counter(): { steps: string[]; one(): Promise<string>; two(): Promise<string> } {
  const steps: string[] = [];
  return {
    steps,
    one: async () => `one ${steps.push("one")}`,
    two: async () => `two ${steps.push("two")}`,
  };
}

it("fails only the chosen call, counted over all ports, before its effect", async () => {
  const [a, b] = [counter(), counter()];
  const failing = failingAt({ a, b }, 2, "before");
  expect(await failing.ports.a.one()).toBe("one 1");
  await expect(failing.ports.b.two()).rejects.toMatchObject({ code: "unavailable" });
  expect(await failing.ports.b.two()).toBe("two 1");
  expect(a.steps.concat(b.steps)).toEqual(["one", "two"]);
  expect([failing.calls(), failing.hit()]).toEqual([3, "b.two"]);
});

it("fails after the effect", async () => {
  const a = counter();
  const failing = failingAt({ a }, 1, "after");
  await expect(failing.ports.a.one()).rejects.toMatchObject({ code: "unavailable" });
  expect(a.steps).toEqual(["one"]);
});

it("says that the fault did not happen", async () => {
  const failing = failingAt({ a: counter() }, 2, "before");
  await failing.ports.a.one();
  expect(failing.hit()).toBeUndefined();
});

it.each([
  ["crash-before", []],
  ["crash-after", ["one"]],
] as const)(
  "%s: nothing resolves from the chosen call on, and nothing has an effect",
  async (when, steps) => {
    const a = counter();
    const clock = new SimClock();
    const failing = failingAt({ a, clock }, 1, when);
    const settled: string[] = [];
    const note = (what: string) => (): void => void settled.push(what);
    const slept = failing.ports.clock.sleep(1, new AbortController().signal);
    slept.then(note("sleep"), note("sleep"));
    failing.ports.a.one().then(note("one"), note("one"));
    await failing.crashed;
    failing.ports.a.two().then(note("two"), note("two"));
    await clock.advance(10);
    expect(settled).toEqual([]);
    expect(a.steps).toEqual(steps);
    expect(failing.ports.clock.monotonic()).toBe(10);
  },
);
