import { beforeEach, expect, it } from "vitest";
import { Failure } from "../../src/core/failure.ts";
import type { LayerId } from "../../src/core/id.ts";
import type { Hold } from "../../src/core/layer/hold.ts";
import type { Store } from "../../src/core/ports/store.ts";
import type { Node } from "../../src/services/node.ts";
import { World } from "./world.ts";

/* A layer on a parent is made while its record is being written: neither a crash nor a failure may leave it without one. */

const signal = new AbortController().signal;
const held = (key: string) => ({ face: "containerd", key }) as const;
const LAYERS = "/var/lib/lagan/pools/default/layers";

let world: World;
let node: Node;
let base: Hold;
/** What the store does with the next writes. */
let writing: (write: () => ReturnType<Store["txn"]>) => ReturnType<Store["txn"]>;

beforeEach(async () => {
  world = new World("overlay");
  writing = (write) => write();
  world.storeOf = (store) =>
    new Proxy(store, {
      get: (of, name) => {
        const value: unknown = Reflect.get(of, name);
        if (name === "txn") {
          return (...args: Parameters<Store["txn"]>) => writing(() => of.txn(...args));
        }
        return typeof value === "function" ? value.bind(of) : value;
      },
    });
  node = await world.boot();
  const { layerStore } = node.services;
  await layerStore.prepare(held("a"), { parent: null, data: {} }, signal);
  base = await layerStore.commit(held("a"), held("base"), { data: {} }, signal);
  world.machine.sync();
});

function prepare(): Promise<Hold> {
  const { layerStore } = node.services;
  return layerStore.prepare(held("one"), { parent: base.layer, data: {} }, signal);
}

/** Begins a layer whose record is never written, and answers its id when its directory is there. */
async function unrecorded(): Promise<LayerId> {
  writing = () => new Promise(() => undefined);
  void prepare().catch(() => undefined);
  const { files } = world.machine.start();
  for (;;) {
    const layer = (await files.list(LAYERS)).find((id) => id !== base.layer);
    if (layer !== undefined) return layer as LayerId;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function restarted(): Promise<readonly LayerId[]> {
  writing = (write) => write();
  node = await world.boot();
  const { orphans, lost } = await node.reconcile.compare(signal);
  expect(lost).toEqual([]);
  return orphans.map(({ layer }) => layer);
}

it("a layer is there before its record is, and goes with the next start when that never came", async () => {
  const layer = await unrecorded();
  expect(await restarted()).toEqual([]);
  const { files } = world.machine.start();
  expect(await files.list(LAYERS)).toEqual([base.layer]);
  expect(layer).not.toBe(base.layer);
  expect(node.services.layerStore.get(held("one"))).toBeUndefined();
});

it("one without a record that has something in it stays, and is told", async () => {
  const layer = await unrecorded();
  const { files } = world.machine.start();
  const [text = "{}"] = await files.readNotes([`${LAYERS}/${layer}/layer.json`]);
  const record = JSON.parse(text);
  world.machine.write(`/var/lib/lagan/pools/default/l/${record.content}/d/file`, "whose?");
  world.machine.sync();
  expect(await restarted()).toEqual([layer]);
});

it("a layer whose record cannot be written is not there, and the next call makes it", async () => {
  writing = async () => {
    await new Promise((resolve) => setImmediate(resolve));
    throw new Failure("resource_exhausted", "no room");
  };
  await expect(prepare()).rejects.toMatchObject({ code: "resource_exhausted" });
  const { files } = world.machine.start();
  expect(await files.list(LAYERS)).toEqual([base.layer]);
  writing = (write) => write();
  const { layer } = await prepare();
  expect(await files.list(LAYERS)).toContain(layer);
  expect(await restarted()).toEqual([]);
  expect(node.services.layerStore.get(held("one"))?.layer).toBe(layer);
});
