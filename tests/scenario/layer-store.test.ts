import { beforeEach, expect, it } from "vitest";
import { type Hold, type Holder, parseChainId } from "../../src/core/layer/hold.ts";
import { parsePoolName } from "../../src/core/name.ts";
import type { LayerStore } from "../../src/services/layer-store.ts";
import type { Node } from "../../src/services/node.ts";
import { World } from "./world.ts";

const signal = new AbortController().signal;
const chainId = parseChainId(`sha256:${"b".repeat(64)}`);
const held = (key: string): Holder => ({ face: "containerd", key });

let world: World;
let node: Node;
let store: LayerStore;
beforeEach(async () => {
  world = new World();
  node = await world.boot();
  store = node.services.layerStore;
});

function prepare(key: string, parent?: Hold): Promise<Hold> {
  return store.prepare(held(key), { parent: parent?.layer ?? null, data: {} }, signal);
}

async function layersThere(): Promise<number> {
  const { pools } = node.services;
  const lists = await Promise.all(pools.names().map((name) => pools.get(name).list(signal)));
  return lists.flat().length;
}

it("of 64 who prepare one key at once, one gets it", async () => {
  const all = await Promise.allSettled(Array.from({ length: 64 }, () => prepare("one")));
  expect(all.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  for (const one of all) {
    if (one.status === "rejected") expect(one.reason).toMatchObject({ code: "already_exists" });
  }
  expect(await layersThere()).toBe(1);
});

it("of 64 commits that want one name, one gets it, and the others keep their layers", async () => {
  await Promise.all(Array.from({ length: 64 }, (_, index) => prepare(`a${index}`)));
  const all = await Promise.allSettled(
    Array.from({ length: 64 }, (_, index) =>
      store.commit(held(`a${index}`), held("image"), { data: {} }, signal),
    ),
  );
  expect(all.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  expect([...store.list("containerd")].filter(({ kind }) => kind === "active")).toHaveLength(63);
});

it("one chain is kept once in a pool, however many hold it", async () => {
  await prepare("a");
  const first = await store.commit(held("a"), held("A"), { chainId, data: {} }, signal);
  await prepare("b");
  const second = await store.commit(held("b"), held("B"), { chainId, data: {} }, signal);
  expect(second.layer).toBe(first.layer);
  await store.hold({ face: "image", key: "app:1" }, first.layer, { data: { n: 1 } });
  await store.reap(signal);
  expect(await layersThere()).toBe(1);
  expect(store.holdersOf(first.layer).map(({ key }) => key)).toEqual(["A", "B", "app:1"]);
  expect(await store.byChain(chainId, signal)).toMatchObject({ id: first.layer });
});

it("a layer that is just going is given to nobody, and the one that comes instead stays", async () => {
  await prepare("a");
  const first = await store.commit(held("a"), held("A"), { chainId, data: {} }, signal);
  await prepare("b");
  await store.release(held("A"));
  const going = store.reap(signal);
  const second = await store.commit(held("b"), held("B"), { chainId, data: {} }, signal);
  await expect(store.hold(held("C"), first.layer, { data: {} })).rejects.toMatchObject({
    code: "not_found",
  });
  await going;
  expect(second.layer).not.toBe(first.layer);
  expect(await layersThere()).toBe(1);
  expect(await store.mounts(held("B"), { readOnly: true }, signal)).toHaveLength(1);
  expect(await store.byChain(chainId, signal)).toMatchObject({ id: second.layer });
});

it("of two equal layers the later goes without being asked for", async () => {
  const running = new AbortController();
  const run = store.run(running.signal);
  await prepare("a");
  await store.commit(held("a"), held("A"), { chainId, data: {} }, signal);
  await prepare("b");
  await store.commit(held("b"), held("B"), { chainId, data: {} }, signal);
  for (let turn = 0; turn < 1_000 && (await layersThere()) > 1; turn++) {
    await world.machine.clock.advance(10);
  }
  expect(await layersThere()).toBe(1);
  running.abort();
  await run.catch(() => undefined);
});

it("a layer stays while somebody holds it or another stands on it, and goes after", async () => {
  await prepare("a");
  const base = await store.commit(held("a"), held("base"), { data: {} }, signal);
  await prepare("top", base);
  await store.release(held("base"));
  await store.reap(signal);
  expect(await layersThere()).toBe(2);
  await store.release(held("top"));
  expect(store.get(held("top"))).toBeUndefined();
  await store.reap(signal);
  expect(await layersThere()).toBe(0);
  expect([...store.layers()]).toEqual([]);
});

it("what is held survives a restart with the data of its face, and a power cut too", async () => {
  await prepare("a");
  await store.commit(held("a"), held(`long/${"x".repeat(4_000)}`), { data: { n: [1] } }, signal);
  world.reboot();
  const next = (await world.boot()).services.layerStore;
  const all = [...next.list("containerd")];
  expect(all).toMatchObject([{ kind: "committed", data: { n: [1] } }]);
  expect(all[0]?.holder.key).toHaveLength(4_005);
});

it("a parent has to be there, and committed", async () => {
  const active = await prepare("a");
  await expect(prepare("b", active)).rejects.toMatchObject({ code: "failed_precondition" });
  await store.release(held("a"));
  await store.reap(signal);
  await expect(prepare("b", active)).rejects.toMatchObject({ code: "not_found" });
  await expect(store.commit(held("b"), held("c"), { data: {} }, signal)).rejects.toMatchObject({
    code: "not_found",
  });
});

it("a pool of overlays is made where the default pool copies", async () => {
  world = new World("directory");
  node = await world.boot();
  store = node.services.layerStore;
  // The simulated machine has no overlay: the pool is made, and says why it does not serve.
  await expect(prepare("a")).rejects.toMatchObject({ code: "unavailable" });
  expect(node.services.pools.names()).toContain("layers");
  expect(store.get(held("a"))).toBeUndefined();
});

it("layers of engines are nobody's orphans, and their pools say when one is lost", async () => {
  const { layer, pool } = await prepare("a");
  expect((await node.reconcile.compare(signal)).orphans).toEqual([]);
  const committed = await store.commit(held("a"), held("b"), { data: {} }, signal);
  await node.services.pools.get(pool).remove(committed.layer, signal);
  const next = await world.boot();
  expect(next.services.layerStore.lost()).toEqual([committed.layer]);
  expect(layer).not.toBe(committed.layer);
});

it("a commit that was answered is ended in the background, whatever step of it fails", async () => {
  for (let nth = 1, hit: string | undefined = ""; hit !== undefined; nth++) {
    world = new World("overlay");
    node = await world.boot();
    store = node.services.layerStore;
    await prepare("one");
    world.machine.crash();
    const plain = world.build();
    await plain.node.start(signal);
    world.machine.crash();
    const daemon = world.build({ nth: plain.calls() + nth, when: "before" });
    // A start makes no fewer calls than the one before it.
    if (
      !(await daemon.node.start(signal).then(
        () => true,
        () => false,
      ))
    )
      continue;
    node = daemon.node;
    store = node.services.layerStore;
    const committing = store.commit(held("one"), held("two"), { data: {} }, signal);
    const committed = await committing.catch(() => undefined);
    // What was answered goes on; when it has ended, the list is told.
    const list = () => node.services.pools.get(parsePoolName("default")).list(signal);
    await list().catch(() => undefined);
    hit = daemon.hit();
    if (committed === undefined || hit === undefined) continue;
    const running = new AbortController();
    const run = store.run(running.signal);
    const ids = async () => (await list()).map(({ id }) => id);
    for (let turn = 0; turn < 1_000 && (await ids())[0] !== committed.layer; turn++) {
      await world.machine.clock.advance(100);
    }
    expect(await ids(), `${hit}`).toEqual([committed.layer]);
    running.abort();
    await run.catch(() => undefined);
  }
});
