import { beforeEach, expect, it } from "vitest";
import type { Hold } from "../../src/core/layer/hold.ts";
import type { Node } from "../../src/services/node.ts";
import { World } from "./world.ts";

const signal = new AbortController().signal;
const held = (key: string) => ({ face: "containerd", key }) as const;
const POOL = "/var/lib/lagan/pools/default";

let world: World;
let node: Node;
let base: Hold;

beforeEach(async () => {
  world = new World("overlay");
  node = await world.boot();
  await node.services.layerStore.prepare(held("a"), { parent: null, data: {} }, signal);
  base = await commit("a", "base");
  world.machine.sync();
});

function commit(key: string, name: string): Promise<Hold> {
  return node.services.layerStore.commit(held(key), held(name), { data: {} }, signal);
}

/** Prepares, lets `change` write to the layer's own directory, and commits. */
async function layer(
  key: string,
  parent: Hold,
  change: (directory: string) => unknown = () => undefined,
): Promise<Hold> {
  const { layerStore } = node.services;
  await layerStore.prepare(held(key), { parent: parent.layer, data: {} }, signal);
  await change(await directoryOf(key));
  return commit(key, `${key} done`);
}

async function directoryOf(key: string): Promise<string> {
  const how = { readOnly: false, shared: true };
  const [mount] = await node.services.layerStore.mounts(held(key), how, signal);
  const upper = mount?.options.find((option) => option.startsWith("upperdir="));
  if (upper === undefined) throw new Error("a layer on a parent is an overlay");
  return upper.slice("upperdir=".length);
}

async function lowersOf(key: string): Promise<readonly string[]> {
  const how = { readOnly: false, shared: true };
  const [mount] = await node.services.layerStore.mounts(held(key), how, signal);
  const lower = mount?.options.find((option) => option.startsWith("lowerdir="));
  return lower?.slice("lowerdir=".length).split(":") ?? [];
}

async function restarted(): Promise<void> {
  node = await world.boot();
  expect(node.services.layerStore.lost()).toEqual([]);
  const { orphans, lost } = await node.reconcile.compare(signal);
  expect({ orphans, lost }).toEqual({ orphans: [], lost: [] });
}

/** A new layer can stand on it, and what that stands on is there and has nothing of its own. */
async function expectEmpty(hold: Hold): Promise<void> {
  const { layerStore } = node.services;
  await layerStore.prepare(held("over"), { parent: hold.layer, data: {} }, signal);
  const { files } = world.machine.start();
  const [own = "", ...others] = await lowersOf("over");
  expect(await files.list(own)).toEqual([]);
  expect(others.length).toBeGreaterThan(0);
}

it("a layer to which nothing was added comes again after a power cut that took it, with those upon it", async () => {
  const one = await layer("one", base);
  const two = await layer("two", one);
  expect(node.services.layerStore.findLayer(two.layer)?.untouched).toBe(true);
  world.reboot();
  await restarted();
  await expectEmpty(two);
});

it("one that has something in it is on the disk when its commit is answered", async () => {
  const one = await layer("one", base, (directory) =>
    world.machine.write(`${directory}/f`, "kept"),
  );
  expect(node.services.layerStore.findLayer(one.layer)?.untouched).toBeUndefined();
  world.reboot();
  await restarted();
  const { layerStore } = node.services;
  await layerStore.prepare(held("over"), { parent: one.layer, data: {} }, signal);
  expect(world.machine.read(`${(await lowersOf("over"))[0]}/f`)).toBe("kept");
});

it("files that were removed from it before do not come back with a power cut", async () => {
  const one = await layer("one", base, async (directory) => {
    world.machine.write(`${directory}/f`, "gone");
    world.machine.sync();
    // By what makes durable only the entry that goes: the power cut has it that this was not.
    await world.machine.start().files.removeTrees([`${directory}/f`], signal);
  });
  world.reboot();
  await restarted();
  await expectEmpty(one);
});

it("nor do they where the layer has its new name already", async () => {
  let own = "";
  const one = await layer("one", base, (directory) => {
    own = directory;
  });
  // As a disk may have it that wrote the removal later than the name.
  world.machine.write(`${own}/f`, "gone");
  world.machine.sync();
  world.reboot();
  await restarted();
  await expectEmpty(one);
});

it("its torn record is no loss", async () => {
  const one = await layer("one", base);
  world.machine.write(`${POOL}/layers/${one.layer}/layer.json`, "");
  world.machine.sync();
  world.reboot();
  await restarted();
  await expectEmpty(one);
});

it("it stays the same directory where nothing was lost", async () => {
  const one = await layer("one", base);
  await node.services.layerStore.prepare(held("over"), { parent: one.layer, data: {} }, signal);
  const before = await lowersOf("over");
  world.machine.crash();
  await restarted();
  expect(await lowersOf("over")).toEqual(before);
});
