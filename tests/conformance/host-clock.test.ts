import { expect, it } from "vitest";
import { systemClock } from "../../src/host/clock.ts";
import { clockConformance } from "./clock.ts";

it("4 a turn of this machine's clock lets all that was begun go first", async () => {
  let steps = 0;
  const begun = async () => {
    while (steps < 1_000) {
      await null;
      steps++;
    }
  };
  void begun();
  await systemClock.turn();
  expect(steps).toBe(1_000);
});

clockConformance("this machine's", { fresh: () => systemClock, settle: (_clock, work) => work });
