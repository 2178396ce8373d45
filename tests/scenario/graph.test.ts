import { expect, it } from "vitest";
import { hostLayerTar } from "../../src/host/layer-tar.ts";
import { hostSha256 } from "../../src/host/sha256.ts";
import { hostTreeDiff } from "../../src/host/tree-diff.ts";
import { Graph, type GraphId } from "../../src/services/graph.ts";
import { GraphMounts } from "../../src/services/graph-mounts.ts";
import { KeyedQueue } from "../../src/services/keyed-queue.ts";
import type { Node } from "../../src/services/node.ts";
import { SimStore } from "../../src/sim/store.ts";
import { World } from "./world.ts";

const signal = new AbortController().signal;
const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const id = (text: string) => text as GraphId;
const plain = { parent: null, sizeBytes: null };

/** The graph of a daemon on a simulated machine. What is mounted and streamed, real engines show. */
function graphOn(world: World, { services }: Node, runtime: SimStore): Graph {
  const { kernel, files } = world.machine.start();
  return new Graph({
    ...{
      layers: services.layerStore,
      pools: services.pools,
      queue: new KeyedQueue(),
      log,
      runtime,
    },
    ...{ tar: hostLayerTar, treeDiff: hostTreeDiff, sha256: hostSha256 },
    mounts: new GraphMounts({ kernel, files, directory: "/run/lagan/graph" }),
  });
}

it("takes back a layer whose maker was never told of it, and no other", async () => {
  const world = new World();
  const runtime = new SimStore(world.machine.clock);
  const before = await world.boot();
  const first = graphOn(world, before, runtime);
  await first.create(id("told"), plain, signal);
  const making = first.create(id("lost"), plain, signal).catch(() => undefined);
  const names = ({ services }: Node) =>
    [...services.layerStore.list("docker")].map(({ holder }) => holder.key);
  for (let turn = 0; turn < 10_000 && names(before).length < 2; turn++) await Promise.resolve();
  expect(names(before)).toEqual(["told/active", "lost/active"]);
  // It is there, and the answer is not out yet.
  const noted = await runtime.list("");
  world.machine.crash();
  await making;
  const after = await world.boot();
  expect(names(after)).toEqual(["told/active", "lost/active"]);
  const left = new SimStore(world.machine.clock);
  for (const { key, value } of noted.entries) await left.txn([], [{ do: "put", key, value }]);
  const second = graphOn(world, after, left);
  await second.open();
  expect(names(after)).toEqual(["told/active"]);
  expect((await left.list("")).entries).toEqual([]);
  expect(second.exists(id("told"))).toBe(true);
});

it("notes nothing of a layer that could not be made", async () => {
  const world = new World("directory");
  const runtime = new SimStore(world.machine.clock);
  const graph = graphOn(world, await world.boot(), runtime);
  const onNothing = { parent: id("absent"), sizeBytes: null };
  await expect(graph.create(id("one"), onNothing, signal)).rejects.toThrow(/absent/);
  // The pool takes no limit.
  const sized = { parent: null, sizeBytes: 1024 ** 3 };
  await expect(graph.create(id("one"), sized, signal)).rejects.toThrow(/^Cannot/);
  expect(graph.exists(id("one"))).toBe(false);
  expect((await runtime.list("")).entries).toEqual([]);
});
