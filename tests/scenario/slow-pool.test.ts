import { expect, it } from "vitest";
import { parsePoolName } from "../../src/core/name.ts";
import type { PoolHealth } from "../../src/core/ports/storage-driver.ts";
import { MemoryDriver } from "../../src/drivers/memory/driver.ts";
import { EventLog } from "../../src/services/event-log.ts";
import { Pools } from "../../src/services/pools.ts";
import { Records } from "../../src/services/records.ts";
import { SimClock } from "../../src/sim/clock.ts";
import { SimStore } from "../../src/sim/store.ts";

const signal = new AbortController().signal;
const name = parsePoolName("slow");
const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

class Deaf extends MemoryDriver {
  deaf: Promise<PoolHealth> | undefined;
  override health(given: AbortSignal): Promise<PoolHealth> {
    return this.deaf ?? super.health(given);
  }
}

it("a pool that does not answer for a while is slow, and faulted only after half a minute; then it comes back", async () => {
  const clock = new SimClock();
  const driver = new Deaf();
  const pools = new Pools({
    records: new Records(new SimStore(clock)),
    maker: {
      choose: async ({ driver: chosen, options }) => ({ driver: chosen, options, why: "test" }),
      build: () => driver,
    },
    events: new EventLog(clock, silent),
    clock,
    log: silent,
  });
  await pools.openAll([{ name, driver: "memory", options: {} }], signal);
  const answer = Promise.withResolvers<PoolHealth>();
  driver.deaf = answer.promise;
  const states: string[] = [];
  for (let look = 0; look < 7; look++) {
    await clock.run(pools.refresh(signal));
    states.push(pools.describe(name).health.state);
  }
  expect(states).toEqual([
    "warning",
    "warning",
    "warning",
    "warning",
    "warning",
    "faulted",
    "faulted",
  ]);
  expect(() => pools.get(name)).toThrow(expect.objectContaining({ code: "unavailable" }));
  driver.deaf = undefined;
  answer.resolve({ state: "up" });
  await clock.run(pools.refresh(signal));
  expect(pools.describe(name).health.state).toBe("up");
  pools.get(name);
});
