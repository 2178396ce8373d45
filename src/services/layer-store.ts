import { Failure } from "../core/failure.ts";
import { type LayerId, newId } from "../core/id.ts";
import {
  type ChainId,
  describeHolder,
  type Face,
  type Hold,
  type Holder,
  type KeptLayer,
} from "../core/layer/hold.ts";
import type { PoolName } from "../core/name.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Random } from "../core/ports/random.ts";
import type { LayerMount, LayerUsage } from "../core/ports/storage-driver.ts";
import type { TxnHow, Write } from "../core/ports/store.ts";
import type { KeyedQueue } from "./keyed-queue.ts";
import type { LayerHome } from "./layer-home.ts";
import type { LayerIndex } from "./layer-index.ts";
import type { LayerReaper } from "./layer-reaper.ts";
import {
  dropHold,
  dropLayer,
  type HoldRecord,
  type LayerRecords,
  putHold,
  putLayer,
} from "./layer-records.ts";
import type { LayerRepair } from "./layer-repair.ts";
import type { LayerSizes } from "./layer-sizes.ts";
import type { Layers } from "./layers.ts";
import type { Pools } from "./pools.ts";

/** What {@link LayerStore} works with. */
interface LayerStoreParts {
  readonly records: LayerRecords;
  readonly index: LayerIndex;
  readonly home: LayerHome;
  readonly repair: LayerRepair;
  readonly reaper: LayerReaper;
  readonly sizes: LayerSizes;
  readonly pools: Pools;
  readonly layers: Layers;
  readonly queue: KeyedQueue;
  readonly clock: Clock;
  readonly random: Random;
}

/** What a new layer is to be. */
export interface NewHold {
  readonly parent: LayerId | null;
  /** Most bytes of its content; left out: no limit. */
  readonly sizeBytes?: number | null;
  readonly data: unknown;
}

/**
 * Keeps the layers that engines and images use, for whoever holds them. Reads are answered from memory.
 *
 * 1. The record is the truth: a layer is made beside its record; what a crash leaves unmade, {@link open} makes (an active
 *    layer empty, as it was; a commit carried on), and what it leaves unrecorded goes. So a call costs one durable write.
 * 2. A committed layer's content is on the disk before its record says that it is committed; but for one to which nothing was
 *    added, whose record says so: {@link open} makes it again when it is gone, or not what it was.
 * 3. A layer that nobody holds and nothing stands on goes, in the background; until then its record stays.
 * 4. Calls for one holder come one after the other; nobody else waits for them.
 */
export class LayerStore {
  readonly #parts: LayerStoreParts;

  constructor(parts: LayerStoreParts) {
    this.#parts = parts;
  }

  /** Reads the records and carries on what a crash cut off. Before it resolves nothing may be asked. */
  open(signal: AbortSignal): Promise<void> {
    return this.#parts.repair.open(signal);
  }

  /**
   * A new active layer.
   *
   * @throws {Failure} `already_exists` when the holder has one; `not_found` and `failed_precondition` for the parent.
   */
  prepare(holder: Holder, options: NewHold, signal: AbortSignal): Promise<Hold> {
    return this.#make(holder, "active", options, signal);
  }

  /** A new read-only layer with the content of `parent`. @throws {Failure} as {@link prepare}. */
  view(
    holder: Holder,
    options: { readonly parent: LayerId; readonly data: unknown },
    signal: AbortSignal,
  ): Promise<Hold> {
    return this.#make(holder, "view", options, signal);
  }

  /**
   * The active layer of `active` becomes committed and is held by `as`; `active` holds nothing any more. When the pool has
   * a layer of this chain already, `as` holds that one, and the new one goes.
   *
   * @throws {Failure} `not_found`, `failed_precondition` when it is not active, `already_exists` for `as`.
   */
  commit(
    active: Holder,
    as: Holder,
    options: { readonly chainId?: ChainId; readonly data: unknown },
    signal: AbortSignal,
  ): Promise<Hold> {
    const attempt = `Cannot commit ${describeHolder(active)} as ${describeHolder(as)}`;
    const { index, reaper } = this.#parts;
    return this.#change([active, as], async () => {
      const found = index.find(active);
      const layer = found && index.layer(found.hold.layer);
      if (found === undefined || layer === undefined) throw absent(attempt);
      if (layer.kind !== "active") {
        throw new Failure("failed_precondition", `${attempt}: it is ${layer.kind}, not active`);
      }
      this.#ensureFree(attempt, as);
      const { chainId = null, data } = options;
      const there = chainId === null ? undefined : index.byChain(layer.pool, chainId);
      const { random, clock } = this.#parts;
      const committed: KeptLayer = there ?? {
        ...{ id: newId<LayerId>(clock, random), pool: layer.pool, kind: "committed" },
        ...{ parent: layer.parent, sizeBytes: null, chainId, from: layer.id },
      };
      const hold = { number: this.#number(), holder: as, layer: committed.id, data };
      const committing = index.keeping([layer.id, committed.id], async () => {
        const writes = [dropHold(found.number), putHold(hold)];
        if (there === undefined) {
          await this.#commitLayer(layer, committed, writes, signal);
        } else await this.#write(writes);
        index.dropHold(active);
        return this.#show(hold);
      });
      // One of two equal layers is nobody's now.
      return committing.finally(() => reaper.kick());
    });
  }

  /** One more holder of a committed layer. @throws {Failure} `already_exists`, `not_found`, `failed_precondition`. */
  hold(holder: Holder, layer: LayerId, options: { readonly data: unknown }): Promise<Hold> {
    const attempt = `Cannot hold layer ${layer} for ${describeHolder(holder)}`;
    return this.#change([holder], async () => {
      this.#ensureFree(attempt, holder);
      this.#committed(attempt, layer);
      return this.#parts.index.keeping([layer], async () => {
        const hold = { number: this.#number(), holder, layer, data: options.data };
        await this.#write([putHold(hold)]);
        return this.#show(hold);
      });
    });
  }

  /** Replaces what a face keeps with its hold. @throws {Failure} `not_found`. */
  update(holder: Holder, data: unknown): Promise<Hold> {
    return this.#change([holder], async () => {
      const found = this.#parts.index.find(holder);
      if (found === undefined) throw absent(`Cannot update ${describeHolder(holder)}`);
      const hold = { number: found.number, holder, layer: found.hold.layer, data };
      await this.#write([putHold(hold)]);
      return this.#show(hold);
    });
  }

  /**
   * The holder holds nothing any more, at once; absent is success. What nobody needs then goes later.
   *
   * @param how `durable: "soon"`: for who releases again what a power cut brings back. It comes back whole, or not at all.
   */
  release(holder: Holder, how?: TxnHow): Promise<void> {
    const { index, reaper } = this.#parts;
    return this.#change([holder], async () => {
      const found = index.find(holder);
      if (found === undefined) return;
      await this.#write([dropHold(found.number)], how);
      index.dropHold(holder);
      reaper.kick();
    });
  }

  get(holder: Holder): Hold | undefined {
    return this.#parts.index.find(holder)?.hold;
  }

  /** In the order in which they were made. */
  list(face: Face): Iterable<Hold> {
    return this.#parts.index.holds(face);
  }

  /** Where layers without a parent are made. */
  homePool(signal: AbortSignal): Promise<PoolName> {
    return this.#parts.home.find(signal);
  }

  /** The layer of this identity in a pool; left out: the one in which new layers are made. */
  async byChain(
    chainId: ChainId,
    signal: AbortSignal,
    pool?: PoolName,
  ): Promise<KeptLayer | undefined> {
    const { index, home } = this.#parts;
    return index.byChain(pool ?? (await home.find(signal)), chainId);
  }

  holdersOf(layer: LayerId): readonly Holder[] {
    return this.#parts.index.holdersOf(layer);
  }

  /** Every layer, also those that wait to go. */
  layers(): Iterable<KeptLayer> {
    return this.#parts.index.layers();
  }

  findLayer(layer: LayerId): KeptLayer | undefined {
    return this.#parts.index.layer(layer);
  }

  /** Those that nobody needs any more, and that are still there. */
  get idleCount(): number {
    return this.#parts.index.idleCount;
  }

  /** Layers that are recorded and that their pool does not have. */
  lost(): readonly LayerId[] {
    return this.#parts.repair.lost();
  }

  /**
   * How to mount the layer, for who mounts it by itself.
   *
   * @param options `shared`: also one that is mounted elsewhere, as engines do that keep their own books.
   * @throws {Failure} `not_found`; what the driver says.
   */
  async mounts(
    holder: Holder,
    { readOnly, shared = false }: { readonly readOnly: boolean; readonly shared?: boolean },
    signal: AbortSignal,
  ): Promise<readonly LayerMount[]> {
    const { pool, layer, kind } = this.#get(`Cannot mount ${describeHolder(holder)}`, holder);
    const how = { readOnly: readOnly || kind !== "active", shared };
    return this.#parts.pools.get(pool).mounts(layer, how, signal);
  }

  /** Does `work` with the directory of the layer's content. @throws {Failure} `not_found`; what `work` throws. */
  async withPath<T>(
    holder: Holder,
    options: { readonly readOnly: boolean },
    work: (path: string) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const found = this.#get(`Cannot reach ${describeHolder(holder)}`, holder);
    const { pool, layer } = found;
    return this.#parts.index.keeping([layer], () =>
      this.#parts.layers.withPath({ pool, layer }, { ...options, release: true }, work, signal),
    );
  }

  /** Of the layer alone, without what it stands on; of a committed one counted once. @throws {Failure} `not_found`. */
  usage(holder: Holder, signal: AbortSignal): Promise<LayerUsage> {
    const { layer } = this.#get(`Cannot count ${describeHolder(holder)}`, holder);
    return this.#parts.sizes.own(layer, signal);
  }

  /** Removes what nobody needs any more, children first. What cannot go now waits for the next call. */
  reap(signal: AbortSignal): Promise<void> {
    return this.#parts.reaper.reap(signal);
  }

  /** {@link reap} whenever there is something, until the signal aborts; and {@link open} again where it could not end. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#parts.reaper.run(signal);
  }

  /** Asks {@link run} to look at once: somebody needs the room. */
  hurry(): void {
    this.#parts.reaper.hurry();
  }

  async #make(
    holder: Holder,
    kind: "active" | "view",
    { parent, sizeBytes = null, data }: NewHold,
    signal: AbortSignal,
  ): Promise<Hold> {
    const attempt = `Cannot make ${describeHolder(holder)}`;
    const { index, clock, random } = this.#parts;
    return this.#change([holder], async () => {
      signal.throwIfAborted();
      this.#ensureFree(attempt, holder);
      const pool =
        parent === null
          ? await this.#parts.home.find(signal)
          : this.#committed(attempt, parent).pool;
      // Before the record: a pool that is away is no reason to write.
      this.#parts.pools.get(pool);
      const id = newId<LayerId>(clock, random);
      const layer: KeptLayer = { id, pool, kind, parent, sizeBytes, chainId: null, from: null };
      const hold = { number: this.#number(), holder, layer: id, data };
      return index.keeping([id], async () => {
        index.putLayer(layer);
        try {
          const recorded = this.#write([putLayer(layer), putHold(hold)]);
          await this.#parts.repair.make(layer, signal, recorded);
        } catch (thrown) {
          await this.#undo(hold);
          throw thrown;
        }
        return this.#show(hold);
      });
    });
  }

  /** Nobody holds a layer that could not be made: it goes, or what there is of it. */
  async #undo(hold: HoldRecord): Promise<void> {
    try {
      await this.#write([dropHold(hold.number)]);
    } catch {
      // Its record is read back before the next change.
    }
    this.#parts.reaper.kick();
  }

  async #commitLayer(
    layer: KeptLayer,
    committed: KeptLayer,
    writes: readonly Write[],
    signal: AbortSignal,
  ): Promise<void> {
    const { pools, index, repair, reaper } = this.#parts;
    const untouched = await pools.get(layer.pool).beginCommit?.(layer.id, committed.id, signal);
    const kept: KeptLayer = untouched ? { ...committed, untouched } : committed;
    signal.throwIfAborted();
    await this.#write([...writes, dropLayer(layer.id), putLayer(kept)]);
    index.putLayer(kept);
    index.dropLayer(layer.id);
    // The record is the truth: nobody has to wait for the rest but who asks the driver for this layer.
    repair.commit(kept).catch(() => reaper.kick());
  }

  /** Does `work` while no other call changes what these holders hold, on what is surely in the store. */
  async #change<T>(holders: readonly Holder[], work: () => Promise<T>): Promise<T> {
    const { queue, repair } = this.#parts;
    const keys = [...new Set(holders.map(({ face, key }) => `holds/${face}/${key}`))].sort();
    const locked = keys.reduceRight<() => Promise<T>>(
      (inner, key) => () => queue.run(key, inner),
      async () => {
        await repair.ensureSure();
        return work();
      },
    );
    return locked();
  }

  async #write(writes: readonly Write[], how?: TxnHow): Promise<void> {
    const { records, repair } = this.#parts;
    try {
      await records.write(writes, how);
    } catch (thrown) {
      repair.doubt();
      throw thrown;
    }
  }

  #show(hold: HoldRecord): Hold {
    const shown = this.#parts.index.putHold(hold);
    if (shown !== undefined) return shown;
    this.#parts.repair.doubt();
    throw new Failure("aborted", "Cannot hold the layer: its records were read anew; try again");
  }

  #get(attempt: string, holder: Holder): Hold {
    const found = this.get(holder);
    if (found === undefined) throw absent(attempt);
    return found;
  }

  #ensureFree(attempt: string, holder: Holder): void {
    if (this.get(holder) === undefined) return;
    throw new Failure("already_exists", `${attempt}: ${describeHolder(holder)} exists already`);
  }

  #committed(attempt: string, id: LayerId): KeptLayer {
    const layer = this.#parts.index.layer(id);
    if (layer === undefined || this.#parts.index.isGoing(id)) {
      throw new Failure("not_found", `${attempt}: layer ${id} does not exist`);
    }
    if (layer.kind === "committed") return layer;
    throw new Failure(
      "failed_precondition",
      `${attempt}: layer ${id} is ${layer.kind}; only on a committed layer can another stand`,
    );
  }

  #number(): string {
    return newId<LayerId>(this.#parts.clock, this.#parts.random);
  }
}

function absent(attempt: string): Failure {
  return new Failure("not_found", `${attempt}: it does not exist`);
}
