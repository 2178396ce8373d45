import { expect, it } from "vitest";
import { Failure } from "../../src/core/failure.ts";
import type { Holder } from "../../src/core/layer/hold.ts";
import type { Files } from "../../src/core/ports/files.ts";
import type { LayerStore } from "../../src/services/layer-store.ts";
import type { Node } from "../../src/services/node.ts";
import { forwarded, World } from "./world.ts";

const signal = new AbortController().signal;
const POOL = "/var/lib/lagan/pools/default";
const held = (key: string): Holder => ({ face: "containerd", key });

async function there({ services: { pools } }: Node): Promise<number> {
  const lists = await Promise.all(pools.names().map((name) => pools.get(name).list(signal)));
  return lists.flat().length;
}

/** A store that is running, and what it has of a layer that nobody needs. */
async function letGo(work: (world: World, store: LayerStore, node: Node) => Promise<void>) {
  const world = new World("overlay");
  const node = await world.boot();
  const store = node.services.layerStore;
  const running = new AbortController();
  const run = store.run(running.signal);
  await world.machine.clock.advance(1_000);
  try {
    await store.prepare(held("gone"), { parent: null, data: {} }, signal);
    await store.release(held("gone"));
    await work(world, store, node);
  } finally {
    running.abort();
    await world.machine.clock.run(run.catch(() => undefined));
  }
}

/** A call that changes layers, five times a second. */
async function busy(world: World, store: LayerStore, durationMs: number): Promise<void> {
  for (let at = 0; at < durationMs; at += 200) {
    await store.prepare(
      held(`busy ${world.machine.clock.monotonic()}`),
      { parent: null, data: {} },
      signal,
    );
    await world.machine.clock.advance(200);
  }
}

it("what nobody needs goes as soon as no call changes layers", () =>
  letGo(async (world, store, node) => {
    await busy(world, store, 2_000);
    expect(await there(node)).toBe(11);
    await world.machine.clock.advance(1_000);
    expect(await there(node)).toBe(10);
  }));

it("on a host that is never quiet it goes within some seconds", () =>
  letGo(async (world, store, node) => {
    await busy(world, store, 4_000);
    expect(await there(node)).toBe(20);
  }));

it("it goes at once when somebody needs the room, also when calls go on", () =>
  letGo(async (world, store, node) => {
    await busy(world, store, 1_000);
    store.hurry();
    await world.machine.clock.advance(100);
    expect(await there(node)).toBe(5);
  }));

it("so it does when nothing else has changed for long", () =>
  letGo(async (world, store, node) => {
    store.hurry();
    await world.machine.clock.advance(100);
    expect(await there(node)).toBe(0);
  }));

it("what is let go of while others are removed waits for the next lull", () =>
  letGo(async (world, store, node) => {
    await store.prepare(held("later"), { parent: null, data: {} }, signal);
    await Promise.all([store.reap(signal), store.release(held("later"))]);
    expect(await there(node)).toBe(1);
    await world.machine.clock.advance(1_000);
    expect(await there(node)).toBe(0);
  }));

/** Wherever the removal of what several layers have left ends, nothing stays that nobody removes. */
for (const end of ["fails", "dies", "loses power"] as const) {
  it(`a removal of several layers that ${end} anywhere leaves nothing`, async () => {
    let tries = 0;
    for (let ended = true; ended; tries++) {
      const count = tries;
      ended = false;
      const world = new World("overlay");
      world.filesOf = (files) => {
        const removeTrees: Files["removeTrees"] = async (paths, stop) => {
          const last = paths[count];
          const whole = ended || paths.length < 4 || last === undefined;
          if (whole) return files.removeTrees(paths, stop);
          ended = true;
          await files.removeTrees(paths.slice(0, count), stop);
          if (end === "fails") throw new Failure("failed_precondition", `Cannot remove ${last}`);
          return new Promise(() => undefined);
        };
        return new Proxy(files, { get: (of, name) => forwarded(of, name, { removeTrees }) });
      };
      let node = await world.boot();
      const { layerStore } = node.services;
      for (const key of ["a", "b", "c"]) {
        await layerStore.prepare(held(key), { parent: null, data: {} }, signal);
        await layerStore.release(held(key));
      }
      world.machine.sync();
      const reaping = layerStore.reap(signal);
      if (end === "fails" || count === 4) await world.machine.clock.run(reaping);
      else {
        await world.machine.clock.quiet();
        if (end === "dies") world.machine.crash();
        else world.reboot();
        node = await world.boot();
        await node.services.layerStore.reap(signal);
      }
      const { files } = world.machine.start();
      expect(await there(node), `${count}`).toBe(0);
      expect([...node.services.layerStore.layers()]).toEqual([]);
      expect(await files.list(`${POOL}/l`), `${count}`).toEqual([]);
      expect(await files.list(`${POOL}/tmp`), `${count}`).toEqual([]);
    }
    expect(tries).toBe(5);
  });
}
