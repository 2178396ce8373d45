import type { Snapshot } from "../core/history/snapshot.ts";
import type { LayerId, SnapshotId, VolumeId } from "../core/id.ts";
import type { PoolName } from "../core/name.ts";
import type { Clock, UnixMs } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import type { LayerUsage } from "../core/ports/storage-driver.ts";
import type { Volume } from "../core/volume/volume.ts";
import type { KeyedQueue } from "./keyed-queue.ts";
import type { Pools } from "./pools.ts";

/** A volume's bytes as they were when somebody looked. */
export interface MeasuredUsage extends LayerUsage {
  readonly at: UnixMs;
}

/** How many volumes are measured at once by {@link Usage.sample}. */
const SAMPLE_CONCURRENCY = 8;

/** How many snapshots one {@link Usage.sample} measures again, those longest ago first. */
const SNAPSHOTS_A_SAMPLE = 500;

/** How many snapshots a listing measures that are new to it, and when it begins no more, in milliseconds. */
const FILL_LIMIT = 100;
const FILL_MS = 20;

/** A snapshot, and the pool that it lies in. */
export interface PlacedSnapshot {
  readonly pool: PoolName;
  readonly snapshot: Snapshot;
}

/** What {@link Usage} works with. */
interface UsageParts {
  readonly pools: Pools;
  readonly queue: KeyedQueue;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * What volumes and snapshots hold. Listings take the last figure; one volume on request is measured then.
 * Pools that keep books are sampled in the background; where only a walk of the tree tells, nobody walks unasked.
 */
export class Usage {
  readonly #parts: UsageParts;
  readonly #last = new Map<VolumeId, MeasuredUsage>();
  readonly #snapshots = new Map<SnapshotId, MeasuredUsage>();

  constructor(parts: UsageParts) {
    this.#parts = parts;
  }

  /** The last figure; undefined when nobody has looked since the daemon started. */
  last(id: VolumeId): MeasuredUsage | undefined {
    return this.#last.get(id);
  }

  /** The last figure of a snapshot, likewise. */
  ofSnapshot(id: SnapshotId): MeasuredUsage | undefined {
    return this.#snapshots.get(id);
  }

  /** Measures now; callers for one volume share one walk. @throws {Failure} what the pool or driver says. */
  async measure(volume: Volume, signal: AbortSignal): Promise<MeasuredUsage> {
    const measured = await this.#measure(volume.spec.pool, volume.head, signal);
    this.#last.set(volume.id, measured);
    return measured;
  }

  /** Likewise. */
  async measureSnapshot(
    { pool, snapshot }: PlacedSnapshot,
    signal: AbortSignal,
  ): Promise<MeasuredUsage> {
    const measured = await this.#measure(pool, snapshot.layer, signal);
    this.#snapshots.set(snapshot.id, measured);
    return measured;
  }

  #measure(pool: PoolName, layer: LayerId, signal: AbortSignal): Promise<MeasuredUsage> {
    return this.#parts.queue.run(`usage/${layer}`, async () => {
      const usage = await this.#parts.pools.get(pool).usage(layer, signal);
      return { ...usage, at: this.#parts.clock.now() };
    });
  }

  /**
   * Measures what lies in pools that keep books: volumes in `busy`, and those never measured; snapshots never measured,
   * and some of the others: what one alone holds changes with its neighbors. Forgets what is not given.
   *
   * @param againMs When it begins no more but volumes never measured, in milliseconds; those measured longest ago come first.
   */
  async sample(
    volumes: readonly Volume[],
    busy: ReadonlySet<VolumeId>,
    snapshots: readonly PlacedSnapshot[],
    signal: AbortSignal,
    againMs: number = Number.POSITIVE_INFINITY,
  ): Promise<void> {
    const there = new Set(snapshots.map(({ snapshot }) => snapshot.id));
    for (const id of this.#snapshots.keys()) if (!there.has(id)) this.#snapshots.delete(id);
    const known = new Set(volumes.map(({ id }) => id));
    for (const id of this.#last.keys()) if (!known.has(id)) this.#last.delete(id);
    const due = volumes.filter(
      ({ id, spec }) => (busy.has(id) || !this.#last.has(id)) && this.#keepsBooks(spec.pool),
    );
    const { clock } = this.#parts;
    const until = clock.monotonic() + againMs;
    const isNew = ({ id }: Volume): boolean => !this.#last.has(id);
    const since = ({ id }: Volume): number => this.#last.get(id)?.at ?? 0;
    const again = due.filter((one) => !isNew(one)).sort((a, b) => since(a) - since(b));
    const measure = (volume: Volume) => () => this.measure(volume, signal);
    const dueSnapshots = this.#dueSnapshots(snapshots);
    const isFresh = (one: PlacedSnapshot): boolean =>
      this.ofSnapshot(one.snapshot.id) === undefined;
    const measureOne = (one: PlacedSnapshot) => () => this.measureSnapshot(one, signal);
    await this.#do(due.filter(isNew).map(measure), signal);
    await this.#do(
      [
        ...dueSnapshots.filter(isFresh).map(measureOne),
        ...again.map(measure),
        ...dueSnapshots.filter((one) => !isFresh(one)).map(measureOne),
      ],
      signal,
      () => clock.monotonic() < until,
    );
  }

  /**
   * For a listing: measures some of pools that keep books that were never measured, as many as take no time that
   * anybody notices. The rest is for {@link sample}.
   */
  async fill(snapshots: readonly PlacedSnapshot[], signal: AbortSignal): Promise<void> {
    const fresh = snapshots.filter(
      ({ pool, snapshot }) => this.ofSnapshot(snapshot.id) === undefined && this.#keepsBooks(pool),
    );
    const some = fresh.slice(0, FILL_LIMIT).map((one) => () => this.measureSnapshot(one, signal));
    const { clock } = this.#parts;
    const until = clock.monotonic() + FILL_MS;
    await this.#do(some, signal, () => clock.monotonic() < until);
  }

  async #do(
    tasks: readonly (() => Promise<unknown>)[],
    signal: AbortSignal,
    goesOn: () => boolean = () => true,
  ): Promise<void> {
    const next = tasks.values();
    const work = async (): Promise<void> => {
      for (const measure of next) {
        if (signal.aborted || !goesOn()) return;
        await measure().catch((thrown: unknown) => {
          this.#parts.log.debug("not measured", { error: thrown });
        });
      }
    };
    await Promise.all(Array.from({ length: SAMPLE_CONCURRENCY }, work));
  }

  #dueSnapshots(snapshots: readonly PlacedSnapshot[]): readonly PlacedSnapshot[] {
    const at = ({ snapshot }: PlacedSnapshot): number => this.ofSnapshot(snapshot.id)?.at ?? 0;
    const counted = snapshots.filter(({ pool }) => this.#keepsBooks(pool));
    const fresh = counted.filter((one) => at(one) === 0);
    const known = counted.filter((one) => at(one) > 0).sort((a, b) => at(a) - at(b));
    return [...fresh, ...known.slice(0, Math.max(0, SNAPSHOTS_A_SAMPLE - fresh.length))];
  }

  #keepsBooks(pool: PoolName): boolean {
    const { driver, health } = this.#parts.pools.describe(pool);
    return health.state !== "faulted" && driver.traits.instantUsage;
  }
}
