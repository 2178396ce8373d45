import { expect } from "vitest";
import { parsePoolName, parseVolumeName } from "../../src/core/name.ts";
import { parseVolumeOptions } from "../../src/core/volume/options.ts";
import type { Node } from "../../src/services/node.ts";
import { type Story, tellStories } from "./stories.ts";

const data = parseVolumeName("data");
const other = parseVolumeName("other");
const pool = parsePoolName("default");
const options = parseVolumeOptions({ size: "10M" });
const signal = new AbortController().signal;

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
    starting: true,
    before: async () => undefined,
    act: (node) => node.start(signal),
    outcomes: { undone: "|", done: "|" },
  },
};

async function state({ services, reconcile }: Node): Promise<string> {
  const { orphans, lost } = await reconcile.compare(signal);
  expect({ orphans, lost }).toEqual({ orphans: [], lost: [] });
  const running = (await services.operations.list()).filter((o) => o.status.state === "running");
  expect(running).toEqual([]);
  const layers = await services.pools.get(pool).list(signal);
  const ready = (await services.volumes.list()).map(({ value }) => value.name);
  const trashed = (await services.trash.list()).map(({ value }) => value.name);
  expect(layers).toHaveLength(ready.length + trashed.length);
  return `${ready}|${trashed}`;
}

tellStories({ stories: STORIES, state });
