import { shortId } from "../../core/history/snapshot.ts";
import type { LayerId } from "../../core/id.ts";
import type { KeptLayer } from "../../core/layer/hold.ts";
import { titleOf } from "../../services/images.ts";
import type { Services } from "../../services/services.ts";
import type { WireLayer } from "./image-resource.ts";
import { LAYER_PAGE } from "./image-schema.ts";
import { takePage } from "./page.ts";
import { PAGE_QUERY } from "./query.ts";
import { type Route, route } from "./route.ts";

/** Longest key of an engine that is shown, in characters. */
const KEY_LIMIT = 120;

/** All layers, whoever they are of. */
export function layerRoutes(services: Services): readonly Route[] {
  return [
    route({
      ...{ method: "GET", path: "/v1/layers" },
      does: "Lists the layers of images, containers, volumes and snapshots by id, with what uses them.",
      ...{ query: PAGE_QUERY, body: null, answers: { 200: LAYER_PAGE }, fails: [] },
      work: async ({ query }) => {
        const all = [...(await keptLayers(services)), ...(await volumeLayers(services))];
        const sorted = all.toSorted((a, b) => (a.id < b.id ? -1 : 1));
        return { body: takePage(sorted, ({ id }) => id, query) };
      },
    }),
  ];
}

/** Those of images and engines, from records alone. */
async function keptLayers({ layerStore, images }: Services): Promise<readonly WireLayer[]> {
  const sizes = new Map<string, number>();
  const names = new Map<string, string[]>();
  for (const image of await images.list()) {
    for (const { chainId, sizeBytes } of image.layers) {
      sizes.set(chainId, sizeBytes);
      names.set(chainId, [...(names.get(chainId) ?? []), `image ${titleOf(image)}`]);
    }
  }
  const usesOf = ({ id, chainId }: KeptLayer): readonly string[] => {
    const holders = layerStore.holdersOf(id).filter(({ face }) => face !== "image");
    const engines = holders.map(({ face, key }) => `${face} ${key.slice(0, KEY_LIMIT)}`);
    return [...(chainId === null ? [] : (names.get(chainId) ?? [])), ...engines];
  };
  return [...layerStore.layers()].map((layer) => {
    const { id, pool, kind, parent, chainId } = layer;
    const sizeBytes = chainId === null ? null : (sizes.get(chainId) ?? null);
    return { ...{ id, pool, kind, parent, chainId, sizeBytes }, usedBy: usesOf(layer) };
  });
}

/** Those of volumes and snapshots, from records and what was measured last. */
async function volumeLayers(services: Services): Promise<readonly WireLayer[]> {
  const { volumes, history, usage, layerStore } = services;
  const chains = new Map<string, LayerId>();
  for (const image of await services.images.list()) {
    const top = image.layers.at(-1)?.chainId;
    const hold = top && layerStore.get({ face: "image", key: top });
    if (hold) chains.set(image.id, hold.layer);
  }
  const snapshots = await history.listAll();
  const layerOf = new Map(snapshots.map(({ snapshot: { value } }) => [value.id, value.layer]));
  const rest = { chainId: null };
  const heads = (await volumes.list()).map(({ value }): WireLayer => {
    const from = value.tip === null ? undefined : layerOf.get(value.tip);
    const origin = value.spec.image?.id;
    return {
      ...{ id: value.head, pool: value.spec.pool, kind: "active", ...rest },
      parent: from ?? (origin ? (chains.get(origin) ?? null) : null),
      sizeBytes: usage.last(value.id)?.exclusiveBytes ?? null,
      usedBy: [`volume ${value.name}`],
    };
  });
  const points = snapshots.map(({ line, snapshot: { value } }): WireLayer => {
    const origin = line.value.spec.image?.id;
    const below = value.parent === null ? undefined : layerOf.get(value.parent);
    return {
      ...{ id: value.layer, pool: line.value.spec.pool, kind: "committed", ...rest },
      parent: below ?? (origin ? (chains.get(origin) ?? null) : null),
      sizeBytes: usage.ofSnapshot(value.id)?.exclusiveBytes ?? null,
      usedBy: [`snapshot ${line.value.name.split("@")[0]}@${value.name ?? shortId(value.id)}`],
    };
  });
  return [...heads, ...points];
}
