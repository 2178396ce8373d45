import { beforeEach, describe, expect, it } from "vitest";
import { Failure } from "../../src/core/failure.ts";
import { parseRef } from "../../src/core/history/ref.ts";
import { type PointName, parsePointName } from "../../src/core/history/snapshot.ts";
import { parseVolumeName } from "../../src/core/name.ts";
import type { Store } from "../../src/core/ports/store.ts";
import { parseVolumeOptions } from "../../src/core/volume/options.ts";
import type { Node } from "../../src/services/node.ts";
import { World } from "./world.ts";

/*
 * What an answer says is written down, but not always on the disk yet: a power cut takes the record, never what the
 * answer said.
 */

const signal = new AbortController().signal;
const data = parseVolumeName("data");
const copy = parseVolumeName("copy");
const before = parsePointName("before", "snapshot");
const options = parseVolumeOptions({ size: "10M" });
const IMAGE = "/var/lib/lagan/pools/default/pool.img";

let world: World;
let node: Node;

beforeEach(async () => {
  world = new World();
  node = await world.boot();
});

/** The power fails right after an answer. */
async function cut(): Promise<void> {
  world.reboot();
  node = await world.boot();
}

/** The same, and the pool's disk is not there when the daemon starts. */
async function cutWithoutPool(): Promise<() => Promise<void>> {
  world.reboot();
  const { files } = world.machine.start();
  const mkfs = world.machine.commands.get("mkfs.btrfs");
  world.machine.commands.delete("mkfs.btrfs");
  await files.rename(IMAGE, `${IMAGE}.away`);
  node = await world.boot();
  return async () => {
    await files.rename(`${IMAGE}.away`, IMAGE);
    if (mkfs !== undefined) world.machine.commands.set("mkfs.btrfs", mkfs);
    await node.services.pools.refresh(signal);
  };
}

function take(name?: PointName) {
  const request = name === undefined ? { author: "me" } : { author: "me", name };
  return node.services.snapshots.create(data, request, signal);
}

async function write(text: string): Promise<void> {
  const { services } = node;
  const { value } = await services.volumes.get(data);
  world.machine.write(`${await services.mounts.mount(value, "id", signal)}/file`, text);
  world.machine.sync();
}

async function states(): Promise<string[]> {
  const all = await node.services.volumes.list();
  return all.map(({ value }) => `${value.name} ${value.status.state}`);
}

async function running(): Promise<number> {
  const all = await node.services.operations.list();
  return all.filter(({ status }) => status.state === "running").length;
}

describe("a volume that was acknowledged", () => {
  it("is there after a power cut, with what was written to it", async () => {
    const made = await node.services.volumes.create(data, options, signal);
    await write("kept");
    await cut();
    const found = await node.services.volumes.get(data);
    expect(found.value).toEqual(made.value);
    const path = await node.services.mounts.mount(found.value, "id", signal);
    expect(world.machine.read(`${path}/file`)).toBe("kept");
    expect(await running()).toBe(0);
  });

  it("is there and listed while its pool is not, and is used when that is up", async () => {
    const made = await node.services.volumes.create(data, options, signal);
    const bringBack = await cutWithoutPool();
    const { volumes, mounts } = node.services;
    expect(await states()).toEqual(["data creating"]);
    expect((await volumes.get(data)).value.id).toBe(made.value.id);
    const change = { labels: { a: "b" } };
    await expect(volumes.update(data, change, signal)).rejects.toMatchObject({
      code: "unavailable",
    });
    await expect(volumes.use(data, async () => undefined)).rejects.toMatchObject({
      code: "unavailable",
    });
    await expect(take()).rejects.toMatchObject({ code: "unavailable" });
    await bringBack();
    expect((await volumes.update(data, change, signal)).value.labels).toEqual({ a: "b" });
    expect(await states()).toEqual(["data ready"]);
    await mounts.mount((await volumes.get(data)).value, "id", signal);
    await take();
  });

  it("is not taken back when who carries its creation on gives up", async () => {
    for (let turns = 0; turns < 60; turns += 3) {
      world = new World();
      node = await world.boot();
      const made = await node.services.volumes.create(data, options, signal);
      const bringBack = await cutWithoutPool();
      await bringBack();
      const stop = new AbortController();
      const carried = node.services.volumes.create(data, options, stop.signal);
      for (let turn = 0; turn < turns; turn++) await null;
      stop.abort(new Failure("cancelled", "The caller has gone"));
      await carried.catch(() => undefined);
      await node.reconcile.resume(signal);
      expect((await node.services.volumes.get(data)).value, `${turns}`).toEqual(made.value);
    }
  });

  it("and was filled with something is there after a power cut", async () => {
    const fill = async (): Promise<void> => undefined;
    const made = await node.services.volumes.create(data, options, signal, { fill });
    await cut();
    expect((await node.services.volumes.get(data)).value).toEqual(made.value);
  });

  it("and is a clone is there after a power cut, with its snapshot", async () => {
    await node.services.volumes.create(data, options, signal);
    const from = parseVolumeOptions({ from: "data" });
    const made = await node.services.volumes.create(copy, from, signal);
    await cut();
    expect((await node.services.volumes.get(copy)).value).toEqual(made.value);
    const [snapshot] = await node.services.history.list(data);
    expect(snapshot?.value.id).toBe(made.value.spec.from);
    expect((await node.services.volumes.get(data)).value.tip).toBe(made.value.spec.from);
  });
});

describe("a snapshot that was acknowledged", () => {
  beforeEach(async () => {
    await node.services.volumes.create(data, options, signal);
  });

  it("is there after a power cut, and the tip of its history", async () => {
    const { value: first } = await take();
    await world.machine.clock.advance(1);
    const { value } = await take(before);
    await cut();
    const listed = await node.services.history.list(data);
    expect(listed.map((one) => one.value)).toEqual([first, value]);
    expect((await node.services.volumes.get(data)).value.tip).toBe(value.id);
    expect((await take()).value.parent).toBe(value.id);
    expect(await running()).toBe(0);
  });

  it("is not said to be absent while its pool is", async () => {
    const { value } = await take(before);
    const bringBack = await cutWithoutPool();
    const ref = parseRef("data@before");
    await expect(node.services.history.get(ref)).rejects.toMatchObject({ code: "unavailable" });
    await expect(node.services.history.get(parseRef("data@other"))).rejects.toMatchObject({
      code: "not_found",
    });
    await bringBack();
    await node.reconcile.resume(signal);
    expect((await node.services.history.get(ref)).snapshot.value).toEqual(value);
  });
});

it("a snapshot that failed is not shown by who looks after what was cut off", async () => {
  let failing = false;
  world.storeOf = (store) => {
    const txn: Store["txn"] = async (compares, writes, how) => {
      // From the write that shows it on, so that it is not taken back at once either.
      failing ||= writes.some((write) => write.do === "put" && isReadySnapshot(write));
      if (failing) throw new Failure("unavailable", "The store is away");
      return store.txn(compares, writes, how);
    };
    return new Proxy(store, {
      get: (target, key) => (key === "txn" ? txn : Reflect.get(target, key)),
    });
  };
  world.machine.crash();
  node = await world.boot();
  await node.services.volumes.create(data, options, signal);
  await expect(take()).rejects.toMatchObject({ code: "unavailable" });
  expect(failing).toBe(true);
  failing = false;
  await node.reconcile.resume(signal);
  expect(await node.services.history.list(data)).toEqual([]);
  expect(await running()).toBe(0);
});

function isReadySnapshot({ key, value }: { readonly key: string; readonly value: string }) {
  return key.startsWith("snapshots/") && value.includes('"ready"');
}
