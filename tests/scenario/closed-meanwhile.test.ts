import { expect, it } from "vitest";
import { Failure } from "../../src/core/failure.ts";
import { type LayerId, newId } from "../../src/core/id.ts";
import { createDirectoryDriver } from "../../src/drivers/directory/driver.ts";
import { SimMachine } from "../../src/sim/machine.ts";

const signal = new AbortController().signal;
const owner = { uid: 0, gid: 0, mode: 0o755 };

it("a call during which the pool is closed succeeds or says that the pool is unavailable", async () => {
  const codes = new Set<string>();
  for (let turns = 0; turns < 60; turns++) {
    const ports = new SimMachine({ seed: 1 }).start();
    const driver = createDirectoryDriver("/var/pool", {}, ports);
    await driver.open(signal);
    const layer = newId<LayerId>(ports.clock, ports.random);
    const call = driver.prepare(layer, { parent: null, sizeBytes: null, owner }, signal).then(
      () => "ok",
      (thrown: unknown) => Failure.from(thrown).code,
    );
    for (let turn = 0; turn < turns; turn++) await null;
    await driver.close(signal);
    codes.add(await call);
  }
  expect([...codes].sort()).toEqual(["ok", "unavailable"]);
});
