import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach } from "vitest";
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
  const door: GrpcDoor = containerdDoor({ layerStore: services.layerStore, log: silent });
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
