import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { containerdDoor } from "../../src/api/containerd/server.ts";
import type { GrpcDoor } from "../../src/api/shared/grpc-door.ts";
import type { Log } from "../../src/core/ports/log.ts";
import { World } from "../scenario/world.ts";
import { containerdSnapshots } from "./containerd-snapshots.ts";
import { Snapshots } from "./snapshots-client.ts";

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

let directory: string;
let world: World;
const opened: (() => Promise<void>)[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "lagan-snapshots-"));
  world = new World();
});
afterEach(async () => {
  for (const close of opened.splice(0)) await close();
  await rm(directory, { recursive: true });
});

async function open(): Promise<Snapshots> {
  const { services } = await world.boot();
  const door: GrpcDoor = containerdDoor({ ...services, log: silent });
  const path = join(directory, `${opened.length}.sock`);
  await new Promise<void>((resolve) => door.server.listen(path, resolve));
  const client = new Snapshots(path);
  opened.push(async () => {
    client.close();
    await door.close();
  });
  return client;
}

containerdSnapshots({
  fresh: open,
  restarted: () => {
    world.machine.crash();
    return open();
  },
});

it("100,000 snapshots are listed whole, in blocks of 100, and walked by a filter; an image's layers are not among them", async () => {
  const door = await open();
  await door.prepare("a");
  await door.commit("base", "a");
  const { services } = await world.boot();
  const { layerStore } = services;
  const signal = new AbortController().signal;
  const layer = layerStore.get({ face: "containerd", key: "base" })?.layer;
  if (layer === undefined) throw new Error("the base is gone");
  const data = { parent: "", labels: {}, createdUs: 1, updatedUs: 1 };
  for (let from = 0; from < 100_000; from += 1_000) {
    const keys = Array.from({ length: 1_000 }, (_, n) => `k8s.io/${from + n}/layer`);
    await Promise.all(
      keys.map((key) => layerStore.hold({ face: "containerd", key }, layer, { data })),
    );
  }
  await layerStore.hold({ face: "image", key: "app:1" }, layer, { data: {} });
  await layerStore.prepare({ face: "docker", key: "x" }, { parent: layer, data: {} }, signal);

  const again = await open();
  const blocks = await again.blocks();
  expect(blocks.every(({ length }) => length <= 100)).toBe(true);
  expect(new Set(blocks.flat().map(({ name }) => name)).size).toBe(100_001);
  expect(await again.list("name==k8s.io/77777/layer")).toHaveLength(1);
  await again.remove("k8s.io/5/layer");
  expect(await again.list()).toHaveLength(100_000);
}, 60_000);
