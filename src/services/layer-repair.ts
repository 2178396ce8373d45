import { Failure, invariant } from "../core/failure.ts";
import type { LayerId } from "../core/id.ts";
import type { KeptLayer } from "../core/layer/hold.ts";
import type { PoolName } from "../core/name.ts";
import type { Log } from "../core/ports/log.ts";
import type { LayerInfo } from "../core/ports/storage-driver.ts";
import type { EventLog } from "./event-log.ts";
import { writtenIntent } from "./intent.ts";
import type { LayerIndex } from "./layer-index.ts";
import { dropHold, type LayerRecords } from "./layer-records.ts";
import type { Pools } from "./pools.ts";

/** Owner and mode of the root of a layer that stands on none. */
const OWNER = { uid: 0, gid: 0, mode: 0o755 };

/** The records are the truth, and durable. */
const KEPT = { kept: true } as const;

/** What {@link LayerRepair} works with. */
interface LayerRepairParts {
  readonly records: LayerRecords;
  readonly index: LayerIndex;
  readonly pools: Pools;
  readonly events: EventLog;
  readonly log: Log;
}

/** Brings the pools to what the records of layers say. A call and a start after a crash do it by the same steps. */
export class LayerRepair {
  readonly #parts: LayerRepairParts;
  /** False while a write may have happened of which the index does not know, or the other way round. */
  #sure = false;
  #reading: Promise<void> | undefined;
  /** Pools that have not been compared with the records since they were last in doubt. */
  readonly #unsettled = new Set<PoolName>();
  /** Layers that are recorded and gone. */
  readonly #lost = new Set<LayerId>();

  constructor(parts: LayerRepairParts) {
    this.#parts = parts;
  }

  async open(signal: AbortSignal): Promise<void> {
    await this.ensureSure();
    await this.settle(signal);
  }

  /** What is in the store has to be read back. */
  doubt(): void {
    this.#sure = false;
  }

  /** The index holds what the store does. */
  async ensureSure(): Promise<void> {
    if (this.#sure) return;
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    await this.#reading;
  }

  /** Layers that are recorded and that their pool does not have. */
  lost(): readonly LayerId[] {
    return [...this.#lost];
  }

  /**
   * Makes a layer. Made already is success.
   *
   * @param recorded Resolves when it is recorded, so that both wait for the disk together; left out: it is.
   */
  async make(layer: KeptLayer, signal: AbortSignal, recorded?: Promise<void>): Promise<void> {
    const made = this.#make(layer, signal, recorded);
    if (recorded !== undefined) await writtenIntent(recorded, made);
    await made;
  }

  async #make(layer: KeptLayer, signal: AbortSignal, recorded?: Promise<void>): Promise<void> {
    const driver = this.#parts.pools.get(layer.pool);
    const { id, parent, sizeBytes } = layer;
    if (layer.kind !== "view") {
      const options = { parent, sizeBytes, owner: OWNER, ...KEPT, recorded };
      return driver.prepare(id, options, signal);
    }
    invariant(parent !== null, "a view stands on a layer");
    await recorded;
    await driver.view(id, parent, signal, KEPT);
  }

  /** Commits a layer that is recorded as committed. Done already is success. */
  async commit({ pool, id, from }: KeptLayer): Promise<void> {
    invariant(from !== null, "a committed layer was active");
    const { index, pools } = this.#parts;
    try {
      // Not to be broken off: the record says that it is done.
      const work = () => pools.get(pool).commit(from, id, new AbortController().signal, KEPT);
      await index.keeping([id, from], work);
    } catch (thrown) {
      this.doubt();
      throw thrown;
    }
  }

  /** Compares the pools that have not been, as far as they serve. */
  async settle(signal: AbortSignal): Promise<void> {
    for (const pool of [...this.#unsettled]) {
      if (this.#isAway(pool)) continue;
      try {
        await this.#settlePool(pool, signal);
        this.#unsettled.delete(pool);
      } catch (thrown) {
        this.#parts.log.warn(
          "layers of a pool not compared with their records; tried again later",
          {
            pool,
            error: thrown,
          },
        );
      }
    }
  }

  async #read(): Promise<void> {
    const { records, index, log } = this.#parts;
    const { layers, holds } = await records.load();
    index.reset(layers, holds);
    for (const { pool } of layers) this.#unsettled.add(pool);
    for (const { holder, number } of index.dangling) {
      log.error("what held a layer without a record is forgotten", { ...holder });
      await records.write([dropHold(number)]);
    }
    this.#sure = true;
    // Later than at the start, calls go on meanwhile: what is missing was theirs that failed.
  }

  #isAway(pool: PoolName): boolean {
    const { pools } = this.#parts;
    if (!pools.names().includes(pool)) return true;
    return pools.describe(pool).health.state === "faulted";
  }

  async #settlePool(pool: PoolName, signal: AbortSignal): Promise<void> {
    const { index, pools } = this.#parts;
    const there = new Map(
      (await pools.get(pool).list(signal)).map((info): [LayerId, LayerInfo] => [info.id, info]),
    );
    const missing = [...index.layers()].filter(
      (layer) =>
        layer.pool === pool &&
        // Nobody has seen to it that what has nothing in it is on the disk.
        (!there.has(layer.id) || layer.untouched) &&
        !index.isIdle(layer.id),
    );
    // What others stand on comes first.
    const depths = new Map(missing.map((layer) => [layer, index.depth(layer)]));
    const deeper = (a: KeptLayer, b: KeptLayer) => (depths.get(a) ?? 0) - (depths.get(b) ?? 0);
    for (const layer of missing.sort(deeper)) {
      signal.throwIfAborted();
      await index.unlessBusy(layer.id, () => this.#restore(layer, there, signal));
    }
    const recorded = new Set([...index.layers()].flatMap(({ id, from }) => [id, from]));
    const unrecorded = [...there.values()].filter(({ id, ahead }) => ahead && !recorded.has(id));
    for (const { id } of unrecorded) {
      await index.unlessBusy(id, () => this.#drop(pool, id, signal));
    }
  }

  /** A layer that a call made before its record, and that came to nothing. One that has content is not such a one. */
  async #drop(pool: PoolName, id: LayerId, signal: AbortSignal): Promise<void> {
    const { index, pools } = this.#parts;
    // Recorded, or gone, while others were looked at.
    if (index.layer(id) !== undefined) return;
    const driver = pools.get(pool);
    try {
      if (await driver.isUntouched?.(id, signal)) await driver.remove(id, signal, KEPT);
    } catch (thrown) {
      const { code } = Failure.from(thrown);
      // Somebody has it mounted: then it is for a person to look at, as what has content is.
      if (code !== "not_found" && code !== "failed_precondition") throw thrown;
    }
  }

  async #restore(
    layer: KeptLayer,
    there: ReadonlyMap<LayerId, LayerInfo>,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      if (layer.kind !== "committed") await this.make(layer, signal);
      else if (layer.untouched) await this.#restoreUntouched(layer, there, signal);
      else if (layer.from !== null && there.has(layer.from)) await this.commit(layer);
      else throw new Failure("not_found", "its content is gone");
      this.#lost.delete(layer.id);
    } catch (thrown) {
      signal.throwIfAborted();
      const { code, message } = Failure.from(thrown);
      if (code === "unavailable") throw thrown;
      this.#tellLost(layer, message);
    }
  }

  /**
   * What a power cut left of it may be anything that it has ever been: a layer with files that were removed, a record that is
   * empty. Then it goes, and the same is made again.
   */
  async #restoreUntouched(
    layer: KeptLayer,
    there: ReadonlyMap<LayerId, LayerInfo>,
    signal: AbortSignal,
  ): Promise<void> {
    const { id, pool, from } = layer;
    invariant(from !== null, "a committed layer was active");
    const driver = this.#parts.pools.get(pool);
    const isAsMade = async (one: LayerId): Promise<boolean> =>
      there.has(one) && (await driver.isUntouched?.(one, signal)) === true;
    if (await isAsMade(id)) return;
    if (there.has(id) || !(await isAsMade(from))) {
      try {
        for (const one of [id, from]) await driver.remove(one, signal, KEPT);
      } catch (thrown) {
        // Somebody has it mounted, so that no power cut was here.
        if (Failure.from(thrown).code === "failed_precondition" && there.has(id)) return;
        throw thrown;
      }
      await this.make({ ...layer, id: from, kind: "active" }, signal);
    }
    await this.commit(layer);
  }

  #tellLost({ id, pool }: KeptLayer, why: string): void {
    if (this.#lost.has(id)) return;
    this.#lost.add(id);
    const { events, index } = this.#parts;
    const [first] = index.holdersOf(id);
    const whose = first === undefined ? "others stand on" : `${first.face} keeps as "${first.key}"`;
    events.emit({
      type: "layer.lost",
      level: "warning",
      subject: pool,
      message: `Layer ${id}, which ${whose}, is not in pool "${pool}": ${why}; have its engine remove it, and pull or build it again`,
    });
  }
}
