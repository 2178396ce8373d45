import { expect, it } from "vitest";
import { SimClock } from "./clock.ts";

const signal = new AbortController().signal;

it("a day passes at once, sleepers wake in order of their deadlines", async () => {
  const clock = new SimClock(0);
  const done: string[] = [];
  const all = Promise.all([
    clock.sleep(86_400_000, signal).then(() => done.push("day")),
    clock.sleep(1000, signal).then(() => done.push("second")),
    clock.sleep(1000, signal).then(() => done.push("second too")),
  ]);
  await clock.run(all);
  expect(done).toEqual(["second", "second too", "day"]);
  expect(clock.now()).toBe(86_400_000);
});

it("a jump of the wall clock moves no deadline", async () => {
  const clock = new SimClock(0);
  clock.jump(-5000);
  await clock.run(clock.sleep(10, signal));
  expect([clock.now(), clock.monotonic()]).toEqual([-4990, 10]);
});

it("advance wakes who is due, and who falls asleep meanwhile, and nobody else", async () => {
  const clock = new SimClock(0);
  const woken: number[] = [];
  const every = async (ms: number): Promise<never> => {
    for (;;) {
      await clock.sleep(ms, signal);
      woken.push(clock.monotonic());
    }
  };
  void every(10);
  void clock.sleep(36, signal).then(() => woken.push(36));
  await clock.advance(35);
  expect(woken).toEqual([10, 20, 30]);
  expect(clock.monotonic()).toBe(35);
});

it("a dead process sleeps for ever and moves no time", async () => {
  const clock = new SimClock(0);
  const owner = { alive: true };
  let woke = false;
  void clock
    .of(owner)
    .sleep(5, signal)
    .then(() => {
      woke = true;
    });
  owner.alive = false;
  expect(clock.tick()).toBe(false);
  await clock.advance(0);
  expect([woke, clock.monotonic()]).toEqual([false, 0]);
});
