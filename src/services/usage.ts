import type { VolumeId } from "../core/id.ts";
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

/** What {@link Usage} works with. */
interface UsageParts {
  readonly pools: Pools;
  readonly queue: KeyedQueue;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * What volumes hold. Listings take the last figure; one volume on request is measured then.
 * Pools that keep books are sampled in the background; where only a walk of the tree tells, nobody walks unasked.
 */
export class Usage {
  readonly #parts: UsageParts;
  readonly #last = new Map<VolumeId, MeasuredUsage>();

  constructor(parts: UsageParts) {
    this.#parts = parts;
  }

  /** The last figure; undefined when nobody has looked since the daemon started. */
  last(id: VolumeId): MeasuredUsage | undefined {
    return this.#last.get(id);
  }

  /** Measures now; callers for one volume share one walk. @throws {Failure} what the pool or driver says. */
  measure(volume: Volume, signal: AbortSignal): Promise<MeasuredUsage> {
    return this.#parts.queue.run(`usage/${volume.id}`, async () => {
      const usage = await this.#parts.pools.get(volume.spec.pool).usage(volume.head, signal);
      const measured = { ...usage, at: this.#parts.clock.now() };
      this.#last.set(volume.id, measured);
      return measured;
    });
  }

  /**
   * Measures the volumes whose pool keeps books: those in `busy`, and those never measured. Forgets
   * volumes that are not given.
   */
  async sample(
    volumes: readonly Volume[],
    busy: ReadonlySet<VolumeId>,
    signal: AbortSignal,
  ): Promise<void> {
    const known = new Set(volumes.map(({ id }) => id));
    for (const id of this.#last.keys()) if (!known.has(id)) this.#last.delete(id);
    const due = volumes.filter(
      ({ id, spec }) => (busy.has(id) || !this.#last.has(id)) && this.#keepsBooks(spec.pool),
    );
    const next = due.values();
    const work = async (): Promise<void> => {
      for (const volume of next) {
        if (signal.aborted) return;
        await this.measure(volume, signal).catch((thrown: unknown) => {
          this.#parts.log.debug("volume not measured", { volume: volume.name, error: thrown });
        });
      }
    };
    await Promise.all(Array.from({ length: SAMPLE_CONCURRENCY }, work));
  }

  #keepsBooks(pool: Volume["spec"]["pool"]): boolean {
    const { driver, health } = this.#parts.pools.describe(pool);
    return health.state !== "faulted" && driver.traits.instantUsage;
  }
}
