import type { LayerId } from "../core/id.ts";
import type { ChainId, Face, Hold, Holder, KeptLayer } from "../core/layer/hold.ts";
import type { PoolName } from "../core/name.ts";
import type { HoldRecord } from "./layer-records.ts";

/** A hold in memory: what callers see, and the name of its record. */
export interface IndexedHold {
  readonly hold: Hold;
  readonly number: string;
}

/** A layer in memory, with what keeps it. */
interface Node {
  layer: KeptLayer;
  readonly holders: Set<string>;
  readonly children: Set<LayerId>;
  /** When it was let go of by the last of its holders so far, or was put here: no sweep that had begun before takes it. */
  releasedAt: number;
}

/** The records of layers in memory, so that no read waits for a disk. */
export class LayerIndex {
  readonly #layers = new Map<LayerId, Node>();
  readonly #holds: Readonly<Record<Face, Map<string, IndexedHold>>> = {
    containerd: new Map(),
    docker: new Map(),
    image: new Map(),
  };
  readonly #chains = new Map<string, LayerId>();
  /** Layers that nobody holds and nothing stands on. */
  readonly #idle = new Set<LayerId>();
  /** How often a hold was let go of. */
  #releases = 0;
  #changes = 0;
  /** Layers that a call works with, by how many do. */
  readonly #busy = new Map<LayerId, number>();

  /** Layers that are being removed: whoever asks for one is told that there is none. */
  readonly #going = new Set<LayerId>();

  /** Holds whose layer has no record, which only damage can bring about. */
  readonly dangling: HoldRecord[] = [];

  /** Everything anew. */
  reset(layers: readonly KeptLayer[], holds: readonly HoldRecord[]): void {
    const maps = [this.#layers, this.#chains, this.#idle, this.#orphans];
    for (const map of [...maps, ...Object.values(this.#holds)]) map.clear();
    this.dangling.length = 0;
    for (const layer of layers) this.putLayer(layer);
    for (const hold of holds) {
      if (this.#layers.has(hold.layer)) this.putHold(hold);
      else this.dangling.push(hold);
    }
  }

  find({ face, key }: Holder): IndexedHold | undefined {
    return this.#holds[face].get(key);
  }

  *holds(face: Face): Iterable<Hold> {
    for (const { hold } of this.#holds[face].values()) yield hold;
  }

  layer(id: LayerId): KeptLayer | undefined {
    return this.#layers.get(id)?.layer;
  }

  *layers(): Iterable<KeptLayer> {
    for (const { layer } of this.#layers.values()) yield layer;
  }

  /** How many layers it stands on. */
  depth({ parent }: KeptLayer): number {
    let count = 0;
    for (let id = parent; id !== null; id = this.layer(id)?.parent ?? null) count++;
    return count;
  }

  byChain(pool: PoolName, chainId: ChainId): KeptLayer | undefined {
    const id = this.#chains.get(chainKey(pool, chainId));
    return id === undefined || this.#going.has(id) ? undefined : this.layer(id);
  }

  /** True while the layer is being removed. */
  isGoing(id: LayerId): boolean {
    return this.#going.has(id);
  }

  /** Does `work`, which removes idle layers: meanwhile nobody is given one. */
  async removing(layers: readonly KeptLayer[], work: () => Promise<void>): Promise<void> {
    const ids = layers.map(({ id }) => id);
    for (const id of ids) this.#going.add(id);
    try {
      await this.keeping(ids, work);
    } finally {
      for (const id of ids) this.#going.delete(id);
    }
  }

  holdersOf(id: LayerId): readonly Holder[] {
    return [...(this.#layers.get(id)?.holders ?? [])].map((text) => {
      const [face = "", key = ""] = JSON.parse(text) as [string, string];
      return { face: face as Face, key };
    });
  }

  putLayer(layer: KeptLayer): void {
    const found = this.#layers.get(layer.id);
    if (found !== undefined) found.layer = layer;
    else {
      // Its children may have come first.
      const children = new Set<LayerId>(this.#orphans.get(layer.id));
      this.#orphans.delete(layer.id);
      this.#layers.set(layer.id, {
        layer,
        holders: new Set(),
        children,
        releasedAt: this.#releases,
      });
    }
    const { parent, pool, chainId } = layer;
    if (parent !== null) this.#childrenOf(parent).add(layer.id);
    if (chainId !== null) this.#chains.set(chainKey(pool, chainId), layer.id);
    this.#look(layer.id);
    if (parent !== null) this.#look(parent);
  }

  dropLayer(id: LayerId): void {
    const found = this.#layers.get(id);
    if (found === undefined) return;
    const { parent, pool, chainId } = found.layer;
    this.#layers.delete(id);
    this.#idle.delete(id);
    if (chainId !== null && this.#chains.get(chainKey(pool, chainId)) === id) {
      this.#chains.delete(chainKey(pool, chainId));
    }
    if (parent === null) return;
    this.#childrenOf(parent).delete(id);
    this.#look(parent);
  }

  putHold({ number, holder, layer: id, data }: HoldRecord): Hold | undefined {
    const node = this.#layers.get(id);
    if (node === undefined) return undefined;
    this.dropHold(holder);
    const { pool, kind, parent, chainId } = node.layer;
    const hold: Hold = { holder, layer: id, pool, kind, parent, chainId, data };
    this.#changes++;
    this.#holds[holder.face].set(holder.key, { hold, number });
    node.holders.add(holderKey(holder));
    this.#look(id);
    return hold;
  }

  dropHold(holder: Holder): void {
    const found = this.find(holder);
    if (found === undefined) return;
    this.#changes++;
    this.#holds[holder.face].delete(holder.key);
    const node = this.#layers.get(found.hold.layer);
    if (node?.holders.delete(holderKey(holder))) node.releasedAt = ++this.#releases;
    this.#look(found.hold.layer);
  }

  /** The number of releases so far: see {@link listIdle}. */
  get releases(): number {
    return this.#releases;
  }

  /** How often something came to be held, or was let go of. */
  get changes(): number {
    return this.#changes;
  }

  /** Layers of one pool that can go, but for those in `except` and those that were let go of later. */
  listIdle(options: {
    readonly except: ReadonlySet<LayerId>;
    readonly releases: number;
    readonly limit: number;
  }): readonly KeptLayer[] {
    const { except, releases, limit } = options;
    const found: KeptLayer[] = [];
    for (const id of this.#idle) {
      if (found.length >= limit) break;
      const node = this.#layers.get(id);
      if (node === undefined || node.releasedAt > releases) continue;
      if (except.has(id) || this.#busy.has(id)) continue;
      if (found[0] === undefined || found[0].pool === node.layer.pool) found.push(node.layer);
    }
    return found;
  }

  /** True of a layer that nobody holds and nothing stands on. */
  isIdle(id: LayerId): boolean {
    return this.#idle.has(id);
  }

  /** {@link keeping}, unless a call works with the layer already. */
  async unlessBusy(id: LayerId, work: () => Promise<void>): Promise<void> {
    if (!this.#busy.has(id)) await this.keeping([id], work);
  }

  /** How many layers wait to go. */
  get idleCount(): number {
    return this.#idle.size;
  }

  /** Does `work` while none of `ids` goes. */
  async keeping<T>(ids: readonly LayerId[], work: () => Promise<T>): Promise<T> {
    for (const id of ids) this.#busy.set(id, (this.#busy.get(id) ?? 0) + 1);
    try {
      return await work();
    } finally {
      for (const id of ids) {
        const left = (this.#busy.get(id) ?? 1) - 1;
        if (left > 0) this.#busy.set(id, left);
        else this.#busy.delete(id);
      }
    }
  }

  /** Children of layers that have no record yet, while records are being read. */
  readonly #orphans = new Map<LayerId, Set<LayerId>>();

  #childrenOf(id: LayerId): Set<LayerId> {
    const node = this.#layers.get(id);
    if (node !== undefined) return node.children;
    const waiting = this.#orphans.get(id) ?? new Set();
    this.#orphans.set(id, waiting);
    return waiting;
  }

  #look(id: LayerId): void {
    const node = this.#layers.get(id);
    if (node === undefined) return;
    if (node.holders.size === 0 && node.children.size === 0) this.#idle.add(id);
    else this.#idle.delete(id);
  }
}

function holderKey({ face, key }: Holder): string {
  return JSON.stringify([face, key]);
}

function chainKey(pool: PoolName, chainId: ChainId): string {
  return `${pool}/${chainId}`;
}
