import { beforeEach, expect, it } from "vitest";
import { Snapshotter } from "../../src/api/containerd/snapshotter.ts";
import { Failure } from "../../src/core/failure.ts";
import type { Files } from "../../src/core/ports/files.ts";
import { LayerFilling } from "../../src/services/layer-filling.ts";
import type { Node } from "../../src/services/node.ts";
import { World } from "./world.ts";

const signal = new AbortController().signal;
const chain = (digit: string): string => `sha256:${digit.repeat(64)}`;
const unpacking = (digit: string): string => `default/1/extract-12-aB= ${chain(digit)}`;

let world: World;
let node: Node;
let door: Snapshotter;
beforeEach(async () => {
  world = new World();
  node = await world.boot();
  door = new Snapshotter(node.services.layerStore, node.services.filling);
});

/** Makes a snapshot and puts a directory into it that nobody syncs. */
async function fill(key: string): Promise<string> {
  const [mount] = await door.prepare({ key, parent: "", labels: {} }, signal);
  const path = `${mount?.source}/came`;
  await files().perform([{ do: "makeDirectory", path, mode: 0o755 }]);
  return path;
}

function files(): Files {
  return world.machine.start().files;
}

async function pass(ms: number): Promise<void> {
  for (let at = 0; at < ms; at += 5) await world.machine.clock.advance(5);
}

/** True when it is still there after the power has failed. */
async function survives(path: string): Promise<boolean> {
  world.reboot();
  await world.boot();
  return (await files().stat(path)) !== undefined;
}

it("what is unpacked is written out before its commit", async () => {
  const path = await fill(unpacking("a"));
  await pass(400);
  expect(await survives(path)).toBe(true);
});

it("what a container writes is not written out before its time", async () => {
  const path = await fill("default/2/container");
  await pass(400);
  expect(await survives(path)).toBe(false);
});

it("nothing is written out any more once a layer is committed or gone", async () => {
  await fill(unpacking("a"));
  await door.commit(
    { key: unpacking("a"), name: `default/2/${chain("a")}`, parent: "", labels: {} },
    signal,
  );
  await fill(unpacking("b"));
  await door.remove(unpacking("b"));
  const path = await fill("default/5/container");
  await pass(400);
  expect(await survives(path)).toBe(false);
});

it("when something could not be written, none that was being unpacked is committed; what comes later is", async () => {
  let broken = true;
  const syncFileSystem = async (path: string): Promise<void> => {
    // Linux tells of it once.
    if (broken) {
      broken = false;
      throw new Failure("data_loss", "Cannot write out: I/O error");
    }
    await files().syncFileSystem(path);
  };
  const filling = new LayerFilling({
    files: { syncFileSystem },
    clock: world.machine.clock,
  });
  filling.open(signal);
  door = new Snapshotter(node.services.layerStore, filling);
  const commit = (digit: string) => {
    const name = `default/9/${chain(digit)}`;
    return door.commit({ key: unpacking(digit), name, parent: "", labels: {} }, signal);
  };
  await fill(unpacking("a"));
  await fill(unpacking("b"));
  await pass(400);
  for (const digit of ["a", "b"]) {
    for (const attempt of ["first", "second"]) {
      await expect(commit(digit), attempt).rejects.toMatchObject({ code: "data_loss" });
    }
    await door.remove(unpacking(digit));
  }
  await fill(unpacking("c"));
  await pass(400);
  await commit("c");
  expect([...door.list()]).toMatchObject([{ kind: "committed" }]);
});

it("an overlay is written out by its upper directory, early; what is none later; a file system of its own never", async () => {
  const asked: string[] = [];
  const filling = new LayerFilling({
    files: { syncFileSystem: async (path) => void asked.push(path) },
    clock: world.machine.clock,
  });
  filling.open(signal);
  const layer = async (digit: string) =>
    (
      await node.services.layerStore.prepare(
        { face: "containerd", key: digit },
        { parent: null, data: {} },
        signal,
      )
    ).layer;
  const lower = ["lowerdir=/l/1/d", "upperdir=/l/2/d", "workdir=/l/2/w"];
  filling.begin(await layer("a"), [{ type: "overlay", source: "overlay", options: lower }]);
  filling.begin(await layer("b"), [{ type: "bind", source: "/b", options: [] }]);
  filling.begin(await layer("c"), [{ type: "zfs", source: "pool/c", options: [] }]);
  await pass(100);
  expect(new Set(asked)).toEqual(new Set(["/l/2/d"]));
  await pass(300);
  expect(new Set(asked)).toEqual(new Set(["/l/2/d", "/b"]));
});
