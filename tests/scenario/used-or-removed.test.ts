import { expect, it } from "vitest";
import { parseVolumeName } from "../../src/core/name.ts";
import type { Kernel } from "../../src/core/ports/kernel.ts";
import { parseVolumeOptions } from "../../src/core/volume/options.ts";
import { MOUNT_GRACE_MS } from "../../src/services/mounts.ts";
import type { Node } from "../../src/services/node.ts";
import { World } from "./world.ts";

/*
 * A volume that somebody uses is never removed. Each test is a removal of a used volume that random schedules have
 * seen to succeed.
 */
const { signal } = new AbortController();
const data = parseVolumeName("data");

async function mountOf({ services }: Node): Promise<string> {
  return services.volumes.use(data, (volume) => services.mounts.mount(volume, "id", signal));
}

function remove({ services }: Node, askEngines = false): Promise<unknown> {
  return services.volumes.remove(data, { askEngines }, signal);
}

it.each([86_400_000, -86_400_000])(
  "F26 a wall clock that jumps by %d ms between a Mount and a removal changes nothing",
  async (byMs) => {
    const world = new World();
    const node = await world.boot();
    await node.services.volumes.create(data, parseVolumeOptions({}), signal);
    await mountOf(node);
    world.machine.clock.jump(byMs);
    const inUse = { code: "failed_precondition" };
    await expect(remove(node)).rejects.toMatchObject(inUse);
    world.machine.crash();
    const next = await world.boot();
    await expect(remove(next)).rejects.toMatchObject(inUse);
    await world.machine.clock.advance(MOUNT_GRACE_MS);
    await remove(next);
  },
);

it.each(["data_loss", "unavailable", "unknown"] as const)(
  "a disk that cannot be read (%s) does not make a used volume look unused",
  async (code) => {
    for (let nth = 1; ; nth++) {
      const world = new World();
      const before = await world.boot();
      await before.services.volumes.create(data, parseVolumeOptions({}), signal);
      const source = await mountOf(before);
      world.machine.process({ pid: 77, mounts: [{ source, target: "/data" }] });
      await world.machine.clock.advance(MOUNT_GRACE_MS);
      world.machine.crash();
      const { node, hit } = world.build({ nth, when: "before", code });
      await node.start(signal).catch(() => undefined);
      const removed = await remove(node).catch(() => "refused");
      expect(removed, `${code} at call ${nth}: ${hit()}`).toBe("refused");
      if (hit() === undefined) break;
    }
  },
);

/** The same port, but for some methods. */
function but<P extends object>(port: P, methods: Partial<P>): P {
  return new Proxy(port, {
    get: (target, key) => {
      if (key in methods) return Reflect.get(methods, key);
      const member: unknown = Reflect.get(target, key);
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
}

/** A world whose mount tables take a while to read; `meanwhile` is done once they have been. */
function slowTables(meanwhile: (world: World) => Promise<void>): World {
  const world = new World();
  const slow = (kernel: Kernel) => async () => {
    const seen = await kernel.mountNamespaces();
    await meanwhile(world);
    return seen;
  };
  world.kernelOf = (kernel) => but(kernel, { mountNamespaces: slow(kernel) });
  return world;
}

it("a Mount that took long to write down counts from its answer", async () => {
  const world = new World();
  world.runtimeOf = (store) =>
    but(store, {
      txn: async (...args) => {
        const result = await store.txn(...args);
        await world.machine.clock.advance(2 * MOUNT_GRACE_MS);
        return result;
      },
    });
  const node = await world.boot();
  await node.services.volumes.create(data, parseVolumeOptions({}), signal);
  await mountOf(node);
  await expect(remove(node)).rejects.toMatchObject({ code: "failed_precondition" });
  await world.machine.clock.advance(MOUNT_GRACE_MS);
  await remove(node);
});

it.each(["removal", "prune"])(
  "a container that starts while the tables are read for a %s, at the end of its time, is not overlooked",
  async (what) => {
    let source = "";
    const world = slowTables(async ({ machine }) => {
      if (source === "") return;
      await machine.clock.advance(MOUNT_GRACE_MS - 1);
      machine.process({ pid: 77, mounts: [{ source, target: "/data" }] });
      await machine.clock.advance(1_000);
    });
    const node = await world.boot();
    const { services } = node;
    await services.volumes.create(data, parseVolumeOptions({}), signal);
    source = await mountOf(node);
    if (what === "removal") {
      await expect(remove(node)).rejects.toMatchObject({ code: "failed_precondition" });
      return;
    }
    const all = (await services.volumes.list()).map(({ value }) => value);
    expect(await services.mounts.listUnused(all, signal)).toEqual([]);
  },
);
