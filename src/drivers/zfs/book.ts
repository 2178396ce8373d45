import { isId, type LayerId } from "../../core/id.ts";
import type { LayerInfo } from "../../core/ports/storage-driver.ts";
import type { LayerRecord } from "../shared/layer-record.ts";
import type { ShelvedLayer } from "../shared/shelf.ts";
import { LAYER_PROPERTY, type LayerProperty, parseLayerProperty } from "./layer-property.ts";

/** A dataset of the pool, without the snapshots' own content. Names are below the pool's dataset. */
export interface Head {
  readonly name: string;
  /** Undefined: it is being made; `damaged`: the property is there and cannot be read. */
  readonly property: LayerProperty | "damaged" | undefined;
  /** The snapshot that it is a clone of, as `NAME@SNAPSHOT`. */
  readonly origin: string | null;
  readonly limitBytes: number | null;
  readonly readOnly: boolean;
  /** Oldest first. */
  readonly snapshots: readonly string[];
  /** Snapshots that are destroyed and go when nothing is made from them any more (`zfs destroy -d`). */
  readonly deferred: readonly string[];
}

/** A layer, and where it is: a dataset, or a snapshot of one. */
export interface ZfsLayer extends ShelvedLayer {
  readonly head: Head;
  readonly snapshot: string | null;
}

/** The properties that a {@link Head} is read from. */
export const HEAD_PROPERTIES: readonly string[] = [
  "origin",
  "refquota",
  "readonly",
  LAYER_PROPERTY,
];

/** Name of the snapshot of a committed dataset that layers made from it are clones of. */
export const SOURCE_SNAPSHOT = "source";

/** Name of the dataset through which a layer that is a snapshot is read. */
export function readerOf(layer: LayerId): string {
  return `${layer}${READER}`;
}

const READER = ".reader";

/** True of a dataset that this driver made: an administrator's are let alone. */
export function isOurs(name: string): boolean {
  return isId(name.slice(0, 36)) && /^(\.reader|\.\d+)?$/.test(name.slice(36));
}

/** True of a dataset that exists only to read a snapshot. */
export function isReader(name: string): boolean {
  return name.endsWith(READER);
}

/** The layer that a snapshot is by its name, `ID` or `ID.2`; undefined: none, as an administrator's. */
export function layerOfSnapshot(snapshot: string): LayerId | undefined {
  const id = snapshot.slice(0, 36);
  return isId(id) && /^(\.\d+)?$/.test(snapshot.slice(36)) ? (id as LayerId) : undefined;
}

/** The first of `NAME`, `NAME.2`, `NAME.3`… that is free. */
export function freeName(name: string, isTaken: (name: string) => boolean): string {
  for (let count = 1; ; count++) {
    const candidate = count === 1 ? name : `${name}.${count}`;
    if (!isTaken(candidate)) return candidate;
  }
}

/** A head from its properties, without its snapshots. @param base The pool's dataset. */
export function parseHead(base: string, name: string, values: ReadonlyMap<string, string>): Head {
  const origin = values.get("origin") ?? "-";
  const text = values.get(LAYER_PROPERTY) ?? "-";
  const limitBytes = Number(values.get("refquota") ?? "0");
  return {
    name,
    property: text === "-" ? undefined : (parseLayerProperty(text) ?? "damaged"),
    origin: origin.startsWith(`${base}/`) ? origin.slice(base.length + 1) : null,
    limitBytes: limitBytes > 0 ? limitBytes : null,
    readOnly: values.get("readonly") === "on",
    snapshots: [],
    deferred: [],
  };
}

/** What the pool holds, as last read and changed since. */
export class Book {
  readonly #heads: Map<string, Head>;
  #layers: Map<LayerId, ZfsLayer> | undefined;

  constructor(heads: readonly Head[]) {
    this.#heads = new Map(heads.map((head) => [head.name, head]));
  }

  heads(): readonly Head[] {
    return [...this.#heads.values()];
  }

  findHead(name: string): Head | undefined {
    return this.#heads.get(name);
  }

  put(head: Head): void {
    this.#heads.set(head.name, head);
    this.#layers = undefined;
  }

  /** Changes a head that is there. */
  patch(name: string, change: Partial<Head>): void {
    const head = this.#heads.get(name);
    if (head !== undefined) this.put({ ...head, ...change });
  }

  drop(name: string): void {
    this.#heads.delete(name);
    this.#layers = undefined;
  }

  find(layer: LayerId): ZfsLayer | undefined {
    return this.#index().get(layer);
  }

  /** In id order. */
  layers(): readonly ZfsLayer[] {
    const layers = [...this.#index().values()];
    return layers.sort((a, b) => (a.info.id < b.info.id ? -1 : 1));
  }

  /** Names of datasets whose property cannot be read. */
  damaged(): readonly string[] {
    return this.heads().flatMap(({ name, property }) => (property === "damaged" ? [name] : []));
  }

  #index(): ReadonlyMap<LayerId, ZfsLayer> {
    this.#layers ??= new Map(
      this.heads().flatMap((head) => layersOf(head).map((layer) => [layer.info.id, layer])),
    );
    return this.#layers;
  }
}

/** The layer that a dataset is, and those that its snapshots are. */
function layersOf(head: Head): readonly ZfsLayer[] {
  const { property } = head;
  if (property === undefined || property === "damaged") return [];
  const { state, id, first, parent } = property;
  const committedFrom = first;
  const snapshots = head.snapshots.flatMap((snapshot): readonly ZfsLayer[] => {
    const layer = layerOfSnapshot(snapshot);
    if (layer === undefined) return [];
    const info: LayerInfo = { id: layer, kind: "committed", parent, sizeBytes: null };
    return [{ info, record: recordOf(info, committedFrom), head, snapshot }];
  });
  if (state === "removed") return snapshots;
  const sizeBytes = state === "active" ? head.limitBytes : null;
  const info: LayerInfo = { id, kind: state, parent, sizeBytes };
  return [{ info, record: recordOf(info, committedFrom), head, snapshot: null }, ...snapshots];
}

function recordOf({ id, kind, parent, sizeBytes }: LayerInfo, first: LayerId): LayerRecord {
  const committed = kind === "committed";
  return {
    kind: kind === "view" ? "view" : "active",
    parent,
    sizeBytes,
    committedAs: committed ? id : null,
    committedFrom: committed ? first : null,
  };
}
