import { Failure } from "../core/failure.ts";
import type { LayerId } from "../core/id.ts";
import type { KeptLayer } from "../core/layer/hold.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import type { LayerIndex } from "./layer-index.ts";
import { dropLayer, type LayerRecords } from "./layer-records.ts";
import type { LayerRepair } from "./layer-repair.ts";
import type { LayerSizes } from "./layer-sizes.ts";
import type { Pools } from "./pools.ts";

/** How long what cannot go now waits for the next try, in milliseconds. */
const RETRY_MS = 30_000;
/** Longest rest after a removal, in milliseconds. */
const REST_LIMIT_MS = 2_000;
/** How many removed layers are forgotten by one write. */
const BATCH = 64;
/** How long what is let go of is gathered before it is removed, in milliseconds: who removes ten layers is to be done first. */
const GATHER_MS = 300;

/** What {@link LayerReaper} works with. */
interface LayerReaperParts {
  readonly records: LayerRecords;
  readonly index: LayerIndex;
  readonly repair: LayerRepair;
  readonly sizes: LayerSizes;
  readonly pools: Pools;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Removes layers that nobody needs, one after the other, children first. After each it rests as long as the removal took, so
 * that those who work have at least half of the disk.
 */
export class LayerReaper {
  readonly #parts: LayerReaperParts;
  #reaping: Promise<void> | undefined;
  #again = false;
  #wake: () => void = () => undefined;

  constructor(parts: LayerReaperParts) {
    this.#parts = parts;
  }

  /** There may be something to do. */
  kick(): void {
    this.#again = true;
    this.#wake();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { repair, log } = this.#parts;
    while (!signal.aborted) {
      this.#again = false;
      try {
        await repair.ensureSure();
        await repair.settle(signal);
        await this.reap(signal);
      } catch (thrown) {
        if (!signal.aborted) log.warn("layers not removed; tried again later", { error: thrown });
      }
      if (!this.#again) await this.#pause(RETRY_MS, signal);
      await this.#parts.clock.sleep(GATHER_MS, signal).catch(() => undefined);
    }
  }

  /** Removes all that can go now; a call meanwhile waits for the same end. */
  reap(signal: AbortSignal): Promise<void> {
    this.#reaping ??= this.#reap(signal).finally(() => {
      this.#reaping = undefined;
    });
    return this.#reaping;
  }

  async #reap(signal: AbortSignal): Promise<void> {
    const { records, index, clock, log } = this.#parts;
    const stuck = new Set<LayerId>();
    let gone: KeptLayer[] = [];
    // In one sweep goes what was idle when it began, and what that stood on.
    let sweep = { releases: index.releases };
    for (;;) {
      signal.throwIfAborted();
      let layer = index.findIdle(stuck, sweep.releases);
      if (layer === undefined || gone.length >= BATCH) {
        await this.#forget(gone, signal);
        gone = [];
        sweep = { releases: index.releases };
        layer ??= index.findIdle(stuck, sweep.releases);
        if (layer === undefined) return;
      }
      if (records.unsettled) {
        // No power cut is to bring back the hold of a layer that is gone.
        await records.settle();
        continue;
      }
      const startedAt = clock.monotonic();
      try {
        await this.#remove(layer, sweep, signal);
        gone.push(layer);
      } catch (thrown) {
        signal.throwIfAborted();
        stuck.add(layer.id);
        const busy = Failure.from(thrown).code === "failed_precondition";
        log[busy ? "debug" : "warn"]("a layer that nobody needs stays for now", {
          layer: layer.id,
          error: thrown,
        });
      }
      const restMs = Math.min(clock.monotonic() - startedAt, REST_LIMIT_MS);
      if (restMs > 1) await clock.sleep(restMs, signal);
    }
  }

  async #remove({ id, pool }: KeptLayer, sweep: object, signal: AbortSignal): Promise<void> {
    const { index, pools, sizes } = this.#parts;
    await index.removing(id, async () => {
      await pools.get(pool).remove(id, signal, { kept: true, sweep });
      index.dropLayer(id);
      sizes.forget(id);
    });
  }

  /** A record that stays behind is no harm: the next start finds its layer idle, and absent. */
  async #forget(layers: readonly KeptLayer[], signal: AbortSignal): Promise<void> {
    if (layers.length === 0) return;
    const { records, repair, pools } = this.#parts;
    try {
      // Before: a layer that came back without a record would be nobody's for ever.
      for (const pool of new Set(layers.map((layer) => layer.pool))) {
        await pools.get(pool).settleRemovals?.(signal);
      }
      await records.write(layers.map(({ id }) => dropLayer(id)));
    } catch (thrown) {
      repair.doubt();
      throw thrown;
    }
  }

  async #pause(durationMs: number, signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    const either = AbortSignal.any([signal, woken.signal]);
    await this.#parts.clock.sleep(durationMs, either).catch(() => undefined);
    this.#wake = () => undefined;
  }
}
