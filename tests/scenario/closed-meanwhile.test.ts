import { expect, it } from "vitest";
import { Failure } from "../../src/core/failure.ts";
import { type LayerId, newId } from "../../src/core/id.ts";
import { createBtrfsDriver } from "../../src/drivers/btrfs/driver.ts";
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

it("a removal or a look at a layer while the pool is taken down and opened again never takes it for absent", async () => {
  const { kernel, files, exec, ...ports } = new SimMachine({ seed: 1 }).start();
  await files.ensureDirectory("/var/pool", { mode: 0o711 });
  let reopen: (() => Promise<void>) | undefined;
  // While a path in the layers is looked at, the pool is down.
  const away = new Proxy(files, {
    get: (target, key) => {
      const method: unknown = Reflect.get(target, key);
      if (typeof method !== "function") return method;
      return async (...args: unknown[]) => {
        const isLook = (key === "stat" || key === "readNotes") && /layers/.test(String(args[0]));
        if (!isLook || reopen === undefined) return method.apply(target, args);
        const open = reopen;
        reopen = undefined;
        await driver.close(signal);
        const seen: unknown = await method.apply(target, args);
        await open();
        return seen;
      };
    },
  });
  const driver = createBtrfsDriver("/var/pool", { size: "256M" }, { kernel, files: away, exec });
  await driver.open(signal);
  const layer = newId<LayerId>(ports.clock, ports.random);
  await driver.prepare(layer, { parent: null, sizeBytes: null, owner }, signal);
  reopen = () => driver.open(signal);
  await expect(driver.remove(layer, signal)).rejects.toMatchObject({ code: "unavailable" });
  reopen = () => driver.open(signal);
  const looked = driver.mounts(layer, { readOnly: false }, signal);
  await expect(looked).rejects.not.toMatchObject({ code: "not_found" });
  expect((await driver.list(signal)).map(({ id }) => id)).toEqual([layer]);
  await driver.remove(layer, signal);
  expect(await driver.list(signal)).toEqual([]);
});
