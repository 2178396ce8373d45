import { expect } from "vitest";
import { type Hold, parseChainId } from "../../src/core/layer/hold.ts";
import type { LayerStore } from "../../src/services/layer-store.ts";
import type { Node } from "../../src/services/node.ts";
import { type Story, tellStories } from "./stories.ts";

const signal = new AbortController().signal;
const chainId = parseChainId(`sha256:${"a".repeat(64)}`);
const held = (key: string) => ({ face: "containerd", key }) as const;
const prepare = (store: LayerStore, key: string, parent: Hold | undefined = undefined) =>
  store.prepare(held(key), { parent: parent?.layer ?? null, data: { made: key } }, signal);

async function image(store: LayerStore): Promise<Hold> {
  await prepare(store, "unpack");
  return store.commit(held("unpack"), held("image"), { data: {} }, signal);
}

const STORIES: Readonly<Record<string, Story>> = {
  "the first layer of all": {
    before: async () => undefined,
    act: ({ services }) => prepare(services.layerStore, "one"),
    outcomes: { undone: "", done: "one active 0" },
  },
  "prepare on a parent": {
    before: ({ services }) => image(services.layerStore),
    act: ({ services }) =>
      prepare(services.layerStore, "one", services.layerStore.get(held("image"))),
    outcomes: { undone: "image committed 0", done: "image committed 0, one active 1" },
  },
  view: {
    before: ({ services }) => image(services.layerStore),
    act: async ({ services: { layerStore } }) => {
      const parent = layerStore.get(held("image"))?.layer;
      if (parent === undefined) throw new Error("the image is gone");
      await layerStore.view(held("look"), { parent, data: {} }, signal);
    },
    outcomes: { undone: "image committed 0", done: "image committed 0, look view 1" },
  },
  commit: {
    before: ({ services }) => prepare(services.layerStore, "one"),
    act: ({ services }) =>
      services.layerStore.commit(held("one"), held("two"), { chainId, data: {} }, signal),
    outcomes: { undone: "one active 0", done: "two committed 0 chain" },
  },
  "commit of what the pool has": {
    before: async ({ services: { layerStore } }) => {
      await prepare(layerStore, "first");
      await layerStore.commit(held("first"), held("image"), { chainId, data: {} }, signal);
      await prepare(layerStore, "one");
    },
    act: ({ services }) =>
      services.layerStore.commit(held("one"), held("two"), { chainId, data: {} }, signal),
    outcomes: {
      undone: "image committed 0 chain, one active 0",
      done: "image committed 0 chain, two committed 0 chain",
    },
  },
  update: {
    before: ({ services }) => prepare(services.layerStore, "one"),
    act: ({ services }) => services.layerStore.update(held("one"), { made: "anew" }),
    outcomes: { undone: "one active 0", done: "one active 0 anew" },
  },
  "release and reap": {
    before: async ({ services: { layerStore } }) => {
      await prepare(layerStore, "one", await image(layerStore));
    },
    act: async ({ services: { layerStore } }) => {
      await layerStore.release(held("one"));
      await layerStore.reap(signal);
    },
    outcomes: { undone: "image committed 0, one active 1", done: "image committed 0" },
  },
  "release that is durable soon, and reap": {
    before: async ({ services: { layerStore } }) => {
      await prepare(layerStore, "one", await image(layerStore));
    },
    act: async ({ services: { layerStore } }) => {
      await layerStore.release(held("one"), { durable: "soon" });
      await layerStore.reap(signal);
    },
    outcomes: { undone: "image committed 0, one active 1", done: "image committed 0" },
  },
};

/** The same on overlay, where what has nothing in it is committed without being on the disk. */
const OVERLAID: Readonly<Record<string, Story>> = {
  ...Object.fromEntries(
    ["prepare on a parent", "commit", "release and reap"].map((title) => [
      `${title} (overlay)`,
      { ...(STORIES[title] as Story), driver: "overlay" },
    ]),
  ),
  "reap of several (overlay)": {
    driver: "overlay",
    before: async ({ services: { layerStore } }) => {
      const parent = await image(layerStore);
      for (const key of ["one", "two", "three", "four"]) {
        await prepare(layerStore, key, parent);
        await layerStore.release(held(key));
      }
      await layerStore.release(held("image"));
    },
    act: ({ services: { layerStore } }) => layerStore.reap(signal),
    // Whatever is left, the reaper of `state` removes.
    outcomes: { undone: "", done: "" },
  },
  "commit of a layer to which nothing was added (overlay)": {
    driver: "overlay",
    before: async ({ services: { layerStore } }) => {
      await prepare(layerStore, "one", await image(layerStore));
    },
    act: ({ services: { layerStore } }) =>
      layerStore.commit(held("one"), held("two"), { data: {} }, signal),
    outcomes: {
      undone: "image committed 0, one active 1",
      done: "image committed 0, two committed 1",
    },
  },
};

/** Records and pool agree, once the reaper has been: every layer is held or stood on, and there. */
async function state({ services, reconcile }: Node): Promise<string> {
  const { layerStore, pools } = services;
  await layerStore.reap(signal);
  const { orphans, lost } = await reconcile.compare(signal);
  expect({ orphans, lost }).toEqual({ orphans: [], lost: [] });
  const kept = [...layerStore.layers()].map(({ id, kind }) => `${id} ${kind}`);
  const there = await Promise.all(pools.names().map((name) => pools.get(name).list(signal)));
  expect(there.flat().map(({ id, kind }) => `${id} ${kind}`)).toEqual(kept.sort());
  return [...layerStore.list("containerd")]
    .map((hold) => {
      const { holder, kind, parent, data } = hold;
      const chain = hold.chainId === null ? "" : " chain";
      const anew = (data as { made?: string }).made === "anew" ? " anew" : "";
      return `${holder.key} ${kind} ${parent === null ? 0 : 1}${chain}${anew}`;
    })
    .sort()
    .join(", ");
}

tellStories({ stories: { ...STORIES, ...OVERLAID }, state });
