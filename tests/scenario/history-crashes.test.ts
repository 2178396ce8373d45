import { expect } from "vitest";
import { parseRef } from "../../src/core/history/ref.ts";
import { parsePointName, type Snapshot } from "../../src/core/history/snapshot.ts";
import type { LayerId } from "../../src/core/id.ts";
import { parsePoolName, parseVolumeName } from "../../src/core/name.ts";
import { parseVolumeOptions } from "../../src/core/volume/options.ts";
import type { Node } from "../../src/services/node.ts";
import { type Story, tellStories } from "./stories.ts";
import type { World } from "./world.ts";

const data = parseVolumeName("data");
const copy = parseVolumeName("copy");
const pool = parsePoolName("default");
const signal = new AbortController().signal;
const by = { author: "ann" };
const before = parsePointName("before", "snapshot");
const dev = parsePointName("dev", "branch");
const options = parseVolumeOptions({ size: "10M" });
const scheduled = parseVolumeOptions({ size: "10M", schedule: "1h", keep: "last=1" });

/** Volume `data` with one snapshot, `before`, that holds "old"; since then "new" was written. */
async function withSnapshot({ services }: Node, world: World): Promise<void> {
  await services.volumes.create(data, options, signal);
  await write(services, world, "old");
  await services.snapshots.create(data, { name: before, ...by }, signal);
  await write(services, world, "new");
}

async function write(services: Node["services"], world: World, text: string): Promise<void> {
  const { value } = await services.volumes.get(data);
  const path = await services.mounts.path(value, signal);
  world.machine.write(`${path}/file`, text);
  world.machine.sync();
}

/** A tick itself never fails. */
async function ensureWorks({ schedules, volumes }: Node["services"]): Promise<void> {
  const { value } = await volumes.get(data);
  const { failing = null } = (await schedules.status(value)) ?? {};
  if (failing !== null) throw new Error(failing);
}

const STORIES: Readonly<Record<string, Story>> = {
  snapshot: {
    before: async ({ services }, world) => {
      await services.volumes.create(data, options, signal);
      await write(services, world, "old");
    },
    act: ({ services }) => services.snapshots.create(data, { name: before, ...by }, signal),
    outcomes: { undone: "data 10485760 old", done: "data 10485760 old [before old]" },
  },
  "snapshot to the trash": {
    before: withSnapshot,
    act: ({ services }) => services.snapshots.remove(parseRef("data@before"), signal),
    outcomes: {
      undone: "data 10485760 new [before old]",
      done: "data 10485760 new (before old)",
    },
  },
  "snapshot from the trash": {
    before: async (node, world) => {
      await withSnapshot(node, world);
      await node.services.snapshots.remove(parseRef("data@before"), signal);
    },
    act: ({ services }) => services.snapshotTrash.restore("data@before"),
    outcomes: {
      undone: "data 10485760 new (before old)",
      done: "data 10485760 new [before old]",
    },
  },
  "snapshot for good": {
    before: async (node, world) => {
      await withSnapshot(node, world);
      await node.services.snapshots.remove(parseRef("data@before"), signal);
    },
    act: async ({ services }) => {
      const [first] = await services.snapshotTrash.list();
      if (first === undefined) return;
      const { volume, id } = first.snapshot.value;
      await services.snapshotTrash.purge(volume, id, signal);
    },
    outcomes: { undone: "data 10485760 new (before old)", done: "data 10485760 new" },
  },
  restore: {
    before: withSnapshot,
    act: async ({ services }) => {
      // Again is no restore: what is there is what was asked for.
      const kept = (await services.history.list(data)).length > 1;
      if (!kept) await services.restores.restore(data, parseRef("data@before"), by, signal);
    },
    outcomes: {
      undone: "data 10485760 new [before old]",
      done: "data 10485760 old [- new] [before old]",
    },
  },
  "clone of a snapshot": {
    before: withSnapshot,
    act: ({ services }) =>
      services.volumes.create(copy, { labels: {}, from: parseRef("data@before") }, signal),
    outcomes: {
      undone: "data 10485760 new [before old]",
      done: "copy 10485760 old; data 10485760 new [before old]",
    },
  },
  "clone of what is there now": {
    before: withSnapshot,
    act: ({ services }) =>
      services.volumes.create(copy, { labels: {}, from: parseRef("data") }, signal),
    outcomes: {
      undone: "data 10485760 new [before old]",
      done: "copy 10485760 new; data 10485760 new [- new] [before old]",
    },
  },
  "branch of what is there now": {
    before: withSnapshot,
    act: ({ services }) => services.branches.create(data, dev, by, signal),
    outcomes: {
      undone: "data 10485760 new [before old]",
      done: "data 10485760 new [- new] [before old]; data@dev 10485760 new",
    },
  },
  branch: {
    before: withSnapshot,
    act: ({ services }) =>
      services.branches.create(data, dev, { from: parseRef("data@before"), ...by }, signal),
    outcomes: {
      undone: "data 10485760 new [before old]",
      done: "data 10485760 new [before old]; data@dev 10485760 old",
    },
  },
  resize: {
    before: withSnapshot,
    act: ({ services }) => services.resizes.resize(data, 20_971_520, signal),
    outcomes: {
      undone: "data 10485760 new [before old]",
      done: "data 20971520 new [before old]",
    },
  },
  "rename with a branch": {
    before: async (node, world) => {
      await withSnapshot(node, world);
      const { branches } = node.services;
      await branches.create(data, dev, { from: parseRef("data@before"), ...by }, signal);
    },
    act: ({ services }) => services.volumes.update(data, { name: copy }, signal),
    outcomes: {
      undone: "data 10485760 new [before old]; data@dev 10485760 old",
      done: "copy 10485760 new [before old]; copy@dev 10485760 old",
    },
  },
  "scheduled snapshot": {
    before: async ({ services }, world) => {
      await services.volumes.create(data, scheduled, signal);
      await write(services, world, "old");
    },
    act: async ({ services }) => {
      await services.schedules.tick(signal);
      await ensureWorks(services);
    },
    outcomes: { undone: "data 10485760 old", done: "data 10485760 old [- old]" },
  },
  "what a schedule does not keep": {
    before: async ({ services }, world) => {
      await services.volumes.create(data, scheduled, signal);
      for (const text of ["old", "new"]) {
        await write(services, world, text);
        await services.snapshots.create(data, { ...by, cause: "scheduled" }, signal);
        await world.machine.clock.advance(1_000);
      }
    },
    act: async ({ services }) => {
      await services.schedules.tick(signal);
      await ensureWorks(services);
      if ((await services.history.list(data)).length > 1) throw new Error("not removed");
    },
    outcomes: {
      undone: "data 10485760 new [- new] [- old]",
      done: "data 10485760 new [- new]",
    },
  },
  import: {
    before: async () => undefined,
    act: ({ services }, world) =>
      services.volumes.create(copy, options, signal, {
        fill: ({ spec, head }) =>
          services.layers.withPath(
            { pool: spec.pool, layer: head },
            { readOnly: false },
            async (path) => {
              world.machine.write(`${path}/file`, "whole");
              world.machine.sync();
            },
            signal,
          ),
      }),
    outcomes: { undone: "", done: "copy 10485760 whole" },
  },
  "purge of a volume with snapshots": {
    before: async (node, world) => {
      await withSnapshot(node, world);
      await node.services.volumes.remove(data, { askEngines: false }, signal);
    },
    act: async ({ services }) => {
      const [first] = await services.trash.list();
      if (first !== undefined) await services.trash.purge(first.value.id, signal);
    },
    outcomes: { undone: "trashed data", done: "" },
  },
};

/** Volumes with their limit and content, their snapshots in brackets, and those in the trash in parentheses. */
async function state({ services, reconcile }: Node, world: World): Promise<string> {
  const { orphans, lost } = await reconcile.compare(signal);
  expect({ orphans, lost }).toEqual({ orphans: [], lost: [] });
  const running = (await services.operations.list()).filter((o) => o.status.state === "running");
  expect(running).toEqual([]);
  const driver = services.pools.get(pool);
  const read = async (layer: LayerId): Promise<string> => {
    const [mount] = await driver.mounts(layer, { readOnly: true }, signal);
    return String(world.machine.read(`${mount?.source}/file`) ?? "nothing");
  };
  const told = async ({ name, layer }: Snapshot): Promise<string> =>
    `${name ?? "-"} ${await read(layer)}`;
  const trash = await services.snapshotTrash.list();
  const lines: string[] = [];
  for (const { value } of await services.volumes.list()) {
    const parts = [`${value.name} ${value.spec.sizeBytes} ${await read(value.head)}`];
    const snapshots = await services.history.list(value.name);
    // No time passes on this machine: their order is of chance.
    parts.push(
      ...(await Promise.all(snapshots.map((one) => told(one.value)))).sort().map(bracketed),
    );
    for (const { line, snapshot } of trash) {
      if (line.value.id === value.id) parts.push(`(${await told(snapshot.value)})`);
    }
    const listed = (await driver.list(signal)).find(({ id }) => id === value.head);
    expect(listed?.sizeBytes).toBe(value.spec.sizeBytes);
    lines.push(parts.join(" "));
  }
  for (const { value } of await services.trash.list()) lines.push(`trashed ${value.name}`);
  return lines.join("; ");
}

function bracketed(text: string): string {
  return `[${text}]`;
}

tellStories({ stories: STORIES, state });
