import { Failure } from "../../core/failure.ts";
import type { LayerId } from "../../core/id.ts";
import type {
  DriverFacts,
  DriverTraits,
  LayerInfo,
  LayerMount,
  LayerUsage,
  MakeHow,
  NewLayer,
  PoolHealth,
  PoolSpace,
  RootOwner,
  StorageDriver,
} from "../../core/ports/storage-driver.ts";

const TOTAL_BYTES = 1024 ** 4;
const ROOT = "/memory/";

/** A layer as the reference driver keeps it. Files never change in place, so layers share them. */
export interface MemoryLayer {
  readonly info: LayerInfo;
  readonly committedFrom: LayerId | null;
  readonly owner: RootOwner;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** What a pool in memory holds: outlives the driver objects over it, as a disk does. */
export class MemoryStorage {
  readonly layers: Map<LayerId, MemoryLayer> = new Map();
  /** Why the pool is faulted; null: it is up. */
  fault: string | null = null;

  /** The layer whose root is `source`, as `mounts` answers it. */
  at(source: string): MemoryLayer | undefined {
    return this.layers.get(source.slice(ROOT.length) as LayerId);
  }

  /**
   * Writes a file as a container would; null deletes it.
   * @throws {Failure} `resource_exhausted` over the limit, `failed_precondition` when the layer is read-only.
   */
  write(source: string, path: string, bytes: Uint8Array | null): void {
    const layer = this.at(source);
    if (layer?.info.kind !== "active") {
      throw new Failure("failed_precondition", `Cannot write ${path}: read-only (EROFS)`);
    }
    const files = new Map(layer.files);
    if (bytes === null) files.delete(path);
    else files.set(path, bytes);
    if (bytes !== null && sizeOf(files) > (layer.info.sizeBytes ?? TOTAL_BYTES)) {
      throw new Failure("resource_exhausted", `Cannot write ${path}: over the limit (EDQUOT)`);
    }
    this.layers.set(layer.info.id, { ...layer, files });
  }
}

/** The reference driver: the contract in its shortest form. */
export class MemoryDriver implements StorageDriver {
  readonly traits: DriverTraits = {
    sizeLimit: { errno: "EDQUOT" },
    liveSnapshots: "atomic",
    joinedSnapshots: true,
    instantClones: true,
    layers: true,
    plainPaths: true,
    // The stricter kind, so that the services are tried on both.
    independentLayers: false,
    instantUsage: true,
  };
  readonly #storage: MemoryStorage;
  #opened = false;

  constructor(storage: MemoryStorage = new MemoryStorage()) {
    this.#storage = storage;
  }

  async open(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#storage.fault !== null) throw new Failure("unavailable", this.#storage.fault);
    this.#opened = true;
  }

  async close(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#opened = false;
  }

  async health(signal: AbortSignal): Promise<PoolHealth> {
    signal.throwIfAborted();
    const why = this.#opened ? this.#storage.fault : "The pool is not open";
    return why === null ? { state: "up" } : { state: "faulted", why };
  }

  facts(): DriverFacts {
    return { source: "memory" };
  }

  async space(signal: AbortSignal): Promise<PoolSpace> {
    const files = new Set([...this.#up(signal).values()].flatMap((l) => [...l.files.values()]));
    const usedBytes = [...files].reduce((sum, { byteLength }) => sum + byteLength, 0);
    return { totalBytes: TOTAL_BYTES, availableBytes: TOTAL_BYTES - usedBytes };
  }

  async prepare(layer: LayerId, options: NewLayer, signal: AbortSignal): Promise<void> {
    const { parent, sizeBytes, owner, recorded } = options;
    await recorded;
    const layers = this.#up(signal);
    const found = this.#findSame(layer, "active", parent);
    const base = found ?? this.#startOf(parent, owner);
    ensureFits(layer, base.files, sizeBytes);
    layers.set(layer, { ...base, info: { id: layer, kind: "active", parent, sizeBytes } });
  }

  async view(layer: LayerId, parent: LayerId, signal: AbortSignal): Promise<void> {
    const layers = this.#up(signal);
    if (this.#findSame(layer, "view", parent) !== undefined) return;
    const info: LayerInfo = { id: layer, kind: "view", parent, sizeBytes: null };
    layers.set(layer, { ...this.#getCommitted(parent), info });
  }

  async commit(active: LayerId, as: LayerId, signal: AbortSignal): Promise<void> {
    const layers = this.#up(signal);
    const done = layers.get(as);
    if (done?.committedFrom === active && !layers.has(active)) return;
    this.#copyCommitted(active, as);
    layers.delete(active);
  }

  async snapshot(active: LayerId, as: LayerId, signal: AbortSignal, how?: MakeHow): Promise<void> {
    await how?.recorded;
    const done = this.#up(signal).get(as);
    if (done?.committedFrom === active) return;
    const act = async (all: readonly (readonly [LayerId, LayerId])[]): Promise<void> => {
      for (const [source, copy] of all) this.#copyCommitted(source, copy);
    };
    await (how?.seat === undefined ? act([[active, as]]) : how.seat.join([active, as], act));
  }

  async remove(layer: LayerId, signal: AbortSignal): Promise<void> {
    const layers = this.#up(signal);
    const child = [...layers.values()].find(({ info }) => info.parent === layer)?.info.id;
    if (child !== undefined) {
      throw new Failure("failed_precondition", `Cannot remove ${layer}: ${child} is made from it`, {
        detail: { child },
      });
    }
    layers.delete(layer);
  }

  async mounts(
    layer: LayerId,
    options: { readonly readOnly: boolean },
    signal: AbortSignal,
  ): Promise<readonly LayerMount[]> {
    this.#up(signal);
    const { kind } = this.#get(layer).info;
    if (kind === "committed" && !options.readOnly) {
      throw new Failure("failed_precondition", `Cannot mount ${layer}: it is committed`);
    }
    const readOnly = options.readOnly || kind === "view";
    return [{ type: "bind", source: ROOT + layer, options: readOnly ? ["ro"] : [] }];
  }

  async usage(layer: LayerId, signal: AbortSignal): Promise<LayerUsage> {
    const layers = this.#up(signal);
    const own = new Map(this.#get(layer).files);
    const referencedBytes = sizeOf(own);
    const others = [...layers.values()].filter(({ info }) => info.id !== layer);
    const shared = new Set(others.flatMap(({ files }) => [...files.values()]));
    for (const [path, bytes] of own) if (shared.has(bytes)) own.delete(path);
    return { referencedBytes, exclusiveBytes: sizeOf(own) };
  }

  async resize(layer: LayerId, sizeBytes: number | null, signal: AbortSignal): Promise<void> {
    const layers = this.#up(signal);
    const found = this.#getActive(layer);
    ensureFits(layer, found.files, sizeBytes);
    layers.set(layer, { ...found, info: { ...found.info, sizeBytes } });
  }

  async list(signal: AbortSignal): Promise<readonly LayerInfo[]> {
    const infos = [...this.#up(signal).values()].map(({ info }) => info);
    return infos.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  #up(signal: AbortSignal): Map<LayerId, MemoryLayer> {
    signal.throwIfAborted();
    const why = this.#opened ? this.#storage.fault : "it is not open";
    if (why !== null) throw new Failure("unavailable", `Cannot use the pool: ${why}`);
    return this.#storage.layers;
  }

  #get(layer: LayerId): MemoryLayer {
    const found = this.#storage.layers.get(layer);
    if (found === undefined) throw new Failure("not_found", `Layer ${layer} does not exist`);
    return found;
  }

  #getActive(layer: LayerId): MemoryLayer {
    const found = this.#get(layer);
    if (found.info.kind === "active") return found;
    throw new Failure("failed_precondition", `Layer ${layer} is ${found.info.kind}, not active`);
  }

  #getCommitted(layer: LayerId): MemoryLayer {
    const found = this.#get(layer);
    if (found.info.kind === "committed") return { ...found, committedFrom: null };
    throw new Failure("failed_precondition", `Layer ${layer} is ${found.info.kind}, not committed`);
  }

  #startOf(parent: LayerId | null, owner: RootOwner): Omit<MemoryLayer, "info"> {
    if (parent !== null) return this.#getCommitted(parent);
    return { committedFrom: null, owner, files: new Map() };
  }

  #findSame(
    layer: LayerId,
    kind: LayerInfo["kind"],
    parent: LayerId | null,
  ): MemoryLayer | undefined {
    const found = this.#storage.layers.get(layer);
    if (found === undefined) return undefined;
    if (found.info.kind === kind && found.info.parent === parent) return found;
    throw new Failure("already_exists", `Layer ${layer} exists with another kind or parent`);
  }

  #copyCommitted(active: LayerId, as: LayerId): void {
    const { layers } = this.#storage;
    if (layers.has(as)) throw new Failure("already_exists", `Layer ${as} exists`);
    const found = this.#getActive(active);
    const info: LayerInfo = { ...found.info, id: as, kind: "committed", sizeBytes: null };
    layers.set(as, { ...found, info, committedFrom: active });
  }
}

function sizeOf(files: ReadonlyMap<string, Uint8Array>): number {
  return [...files.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
}

function ensureFits(
  layer: LayerId,
  files: ReadonlyMap<string, Uint8Array>,
  sizeBytes: number | null,
): void {
  const referencedBytes = sizeOf(files);
  if (sizeBytes === null || referencedBytes <= sizeBytes) return;
  throw new Failure(
    "failed_precondition",
    `Cannot limit ${layer} to ${sizeBytes} bytes: it has ${referencedBytes}`,
    { detail: { referencedBytes, sizeBytes } },
  );
}
