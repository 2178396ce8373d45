import { expect, it } from "vitest";
import { Failure } from "../../core/failure.ts";
import { type LayerId, parseId } from "../../core/id.ts";
import type { StorageDriver } from "../../core/ports/storage-driver.ts";
import { SimMachine } from "../../sim/machine.ts";
import { createBtrfsDriver } from "../btrfs/driver.ts";
import type { DriverPorts } from "./ports.ts";

const POOL = "/var/lib/pool";
const LIVE = new AbortController().signal;
const [A, B, C] = [1, 2, 3].map((n) =>
  parseId<LayerId>(`01920000-0000-7000-8000-00000000000${n}`),
) as [LayerId, LayerId, LayerId];
const owner = { uid: 0, gid: 0, mode: 0o755 };
const FRESH = { parent: null, sizeBytes: null, owner };

/** `port` with one method replaced; the rest goes to the real one. */
function replacing<T extends object, K extends keyof T>(port: T, key: K, method: T[K]): T {
  return new Proxy(port, {
    get(target, name) {
      if (name === key) return method;
      const member: unknown = Reflect.get(target, name);
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
}

async function openPool(ports: DriverPorts): Promise<StorageDriver> {
  const driver = createBtrfsDriver(POOL, {}, ports);
  await driver.open(LIVE);
  return driver;
}

/** A pool with committed layer B, whose next snapshot ioctl waits until told. */
async function poolThatWaits(): Promise<{
  readonly driver: StorageDriver;
  readonly waiting: Promise<void>;
  readonly go: () => void;
}> {
  const ports = new SimMachine({ seed: 1, rootType: "btrfs" }).start();
  const waiting = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const kernel = replacing(ports.kernel, "snapshotSubvolume", async (...args) => {
    waiting.resolve();
    await gate.promise;
    await ports.kernel.snapshotSubvolume(...args);
  });
  const driver = await openPool({ ...ports, kernel });
  await driver.prepare(A, FRESH, LIVE);
  await driver.commit(A, B, LIVE);
  return { driver, waiting: waiting.promise, go: gate.resolve };
}

it("a parent is not removed while a layer is being made from it", async () => {
  const { driver, waiting, go } = await poolThatWaits();
  const made = driver.prepare(C, { ...FRESH, parent: B }, LIVE);
  await waiting;
  await expect(driver.remove(B, LIVE)).rejects.toMatchObject({ detail: { child: C } });
  go();
  await made;
  expect((await driver.list(LIVE)).map(({ id }) => id)).toEqual([B, C]);
});

it("no layer is made from a parent that is being removed", async () => {
  const ports = new SimMachine({ seed: 1, rootType: "btrfs" }).start();
  const gate = Promise.withResolvers<void>();
  const waiting = Promise.withResolvers<void>();
  const files = replacing(ports.files, "rename", async (from, to) => {
    if (to.endsWith(".removed")) {
      waiting.resolve();
      await gate.promise;
    }
    await ports.files.rename(from, to);
  });
  const driver = await openPool({ ...ports, files });
  await driver.prepare(A, FRESH, LIVE);
  await driver.commit(A, B, LIVE);
  const removed = driver.remove(B, LIVE);
  await waiting.promise;
  const made = driver.prepare(C, { ...FRESH, parent: B }, LIVE);
  await expect(made).rejects.toMatchObject({ code: "not_found" });
  gate.resolve();
  await removed;
  expect(await driver.list(LIVE)).toEqual([]);
});

it("an open of a pool that serves disturbs no call under way", async () => {
  const { driver, waiting, go } = await poolThatWaits();
  const made = driver.prepare(C, { ...FRESH, parent: B }, LIVE);
  await waiting;
  await driver.open(LIVE);
  go();
  await made;
  expect((await driver.list(LIVE)).map(({ id }) => id)).toEqual([B, C]);
});

it("an open of a pool that serves does not go through its layers again", async () => {
  const ports = new SimMachine({ seed: 1, rootType: "btrfs" }).start();
  let opened = false;
  const files = replacing(ports.files, "list", async (path) => {
    if (opened) throw new Failure("internal", "Listed again");
    return ports.files.list(path);
  });
  const driver = await openPool({ ...ports, files });
  opened = true;
  await driver.open(LIVE);
});

it("an open of a pool that was away for a moment disturbs no call under way", async () => {
  const machine = new SimMachine({ seed: 1, rootType: "btrfs" });
  const ports = machine.start();
  const waiting = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  let away = false;
  const files = replacing(ports.files, "stat", async (path) =>
    away && path.endsWith("/layers") ? undefined : ports.files.stat(path),
  );
  const kernel = replacing(ports.kernel, "createSubvolume", async (path) => {
    waiting.resolve();
    await gate.promise;
    await ports.kernel.createSubvolume(path);
  });
  const driver = await openPool({ ...ports, files, kernel });
  const made = driver.prepare(A, FRESH, LIVE);
  await waiting.promise;
  away = true;
  await driver.open(LIVE);
  away = false;
  gate.resolve();
  await made;
  expect((await driver.list(LIVE)).map(({ id }) => id)).toEqual([A]);
});

it("what could not be removed the first time does not stop the next removal", async () => {
  const ports = new SimMachine({ seed: 1, rootType: "btrfs" }).start();
  let fails = true;
  const files = replacing(ports.files, "removeTree", async (path, signal) => {
    if (fails) throw new Failure("data_loss", "Injected");
    await ports.files.removeTree(path, signal);
  });
  const driver = await openPool({ ...ports, files });
  await driver.prepare(A, FRESH, LIVE);
  await expect(driver.remove(A, LIVE)).rejects.toMatchObject({ code: "data_loss" });
  expect(await driver.list(LIVE)).toEqual([]);
  fails = false;
  await driver.prepare(A, FRESH, LIVE);
  await driver.remove(A, LIVE);
  expect(await driver.list(LIVE)).toEqual([]);
  expect(await ports.files.list(`${POOL}/tmp`)).toEqual([]);
});

it("a damaged record hides one layer, is told by health, and can be removed", async () => {
  const ports = new SimMachine({ seed: 1, rootType: "btrfs" }).start();
  const driver = await openPool(ports);
  await driver.prepare(A, FRESH, LIVE);
  await driver.prepare(B, FRESH, LIVE);
  await ports.files.writeText(`${POOL}/layers/${A}/layer.json`, "{");
  expect((await driver.list(LIVE)).map(({ id }) => id)).toEqual([B]);
  expect(await driver.health(LIVE)).toMatchObject({
    state: "warning",
    why: expect.stringContaining(A),
  });
  const lost = { code: "data_loss" };
  await expect(driver.mounts(A, { readOnly: true }, LIVE)).rejects.toMatchObject(lost);
  await expect(driver.prepare(A, FRESH, LIVE)).rejects.toMatchObject(lost);
  await driver.remove(A, LIVE);
  await driver.prepare(A, FRESH, LIVE);
  expect((await driver.list(LIVE)).map(({ id }) => id)).toEqual([A, B]);
  expect(await driver.health(LIVE)).toEqual({ state: "up" });
});
