import { expect, it } from "vitest";
import { parsePoolName, parseVolumeName } from "../../src/core/name.ts";
import { parseVolumeOptions } from "../../src/core/volume/options.ts";
import type { Node } from "../../src/services/node.ts";
import { type Fault, World } from "./world.ts";

const data = parseVolumeName("data");
const other = parseVolumeName("other");
const pool = parsePoolName("default");
const options = parseVolumeOptions({ size: "10M" });
const signal = new AbortController().signal;

/** What a user does, from what state, and in which states it may have left the machine when it did not answer. */
interface Story {
  readonly before: (node: Node) => Promise<unknown>;
  readonly act: (node: Node) => Promise<unknown>;
  /** Names of ready volumes, comma-separated, then `|` and those in the trash. */
  readonly outcomes: { readonly undone: string; readonly done: string };
}

const STORIES: Readonly<Record<string, Story>> = {
  create: {
    before: async () => undefined,
    act: ({ services }) => services.volumes.create(data, options, signal),
    outcomes: { undone: "|", done: "data|" },
  },
  remove: {
    before: ({ services }) => services.volumes.create(data, options, signal),
    act: ({ services }) => services.volumes.remove(data, { askEngines: false }, signal),
    outcomes: { undone: "data|", done: "|data" },
  },
  "restore from the trash": {
    before: async ({ services }) => {
      await services.volumes.create(data, options, signal);
      await services.volumes.remove(data, { askEngines: false }, signal);
    },
    act: ({ services }) => services.trash.restore("data", undefined),
    outcomes: { undone: "|data", done: "data|" },
  },
  rename: {
    before: ({ services }) => services.volumes.create(data, options, signal),
    act: ({ services }) => services.volumes.update(data, { name: other }, signal),
    outcomes: { undone: "data|", done: "other|" },
  },
  purge: {
    before: async ({ services }) => {
      await services.volumes.create(data, options, signal);
      await services.volumes.remove(data, { askEngines: false }, signal);
    },
    act: async ({ services }) => {
      const [first] = await services.trash.list();
      if (first !== undefined) await services.trash.purge(first.value.id, signal);
    },
    outcomes: { undone: "|data", done: "|" },
  },
  "first start of the pool": {
    before: async () => undefined,
    act: (node) => node.start(signal),
    outcomes: { undone: "|", done: "|" },
  },
};

const FAULTS: readonly Omit<Fault, "nth">[] = [
  { when: "before", code: "unavailable" },
  { when: "before", code: "resource_exhausted" },
  { when: "after", code: "unavailable" },
  { when: "after", code: "data_loss" },
  { when: "crash-before" },
  { when: "crash-after" },
];

async function state({ services, reconcile }: Node): Promise<string> {
  const { orphans, lost } = await reconcile.compare(signal);
  expect({ orphans, lost }).toEqual({ orphans: [], lost: [] });
  const running = (await services.operations.list()).filter((o) => o.status.state === "running");
  expect(running).toEqual([]);
  const ready = (await services.volumes.list()).map(({ value }) => value.name);
  const trashed = (await services.trash.list()).map(({ value }) => value.name);
  return `${ready}|${trashed}`;
}

for (const [title, story] of Object.entries(STORIES)) {
  for (const fault of FAULTS) {
    for (const after of ["restart", "power cut"] as const) {
      it(`${title}: ${fault.code ?? ""} ${fault.when} any call, then ${after}: done or undone, never half`, async () => {
        const hits: string[] = [];
        for (let nth = 1; nth < 400; nth++) {
          const world = new World();
          const starting = title.startsWith("first start");
          if (!starting) await story.before(await world.boot());
          world.machine.sync();
          const { node, hit, crashed } = await failing(world, { ...fault, nth }, starting);
          const acted = story.act(node).then(
            () => "answered",
            () => "failed",
          );
          const outcome = await Promise.race([acted, crashed.then(() => "crashed")]);
          if (after === "restart") world.machine.crash();
          else world.reboot();
          const next = await world.boot();
          const { done, undone } = story.outcomes;
          const allowed = outcome === "answered" ? [done] : [done, undone];
          expect(allowed, `call ${nth}, ${hit()}, ${outcome}`).toContain(await state(next));
          await story.act(next).catch(() => undefined);
          expect(await state(next), `again after call ${nth}, ${hit()}`).toBe(done);
          expect(await next.services.pools.get(pool).list(signal)).toHaveLength(
            done === "|" ? 0 : 1,
          );
          const what = hit();
          if (what === undefined) {
            expect(hits.length).toBeGreaterThan(0);
            return;
          }
          hits.push(what);
        }
        throw new Error("never ran to completion");
      });
    }
  }
}

/** A daemon whose nth call from now on goes wrong: after its start, or in its start. */
async function failing(world: World, fault: Fault, starting: boolean) {
  if (starting) return world.build(fault);
  const plain = world.build();
  await plain.node.start(signal);
  const calls = plain.calls();
  world.machine.crash();
  const daemon = world.build({ ...fault, nth: fault.nth + calls });
  await daemon.node.start(signal);
  return daemon;
}
