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
/** How many removed layers are forgotten by one write, and most that go together. */
const BATCH = 64;
/** How long layers that go together may take, in milliseconds; those that take longer go one by one, with a rest after each. */
const TOGETHER_MS = 50;
/** For how long no call changes who holds what before the removal begins, in milliseconds: those who work are to be done first. */
const LULL_MS = 300;
/** Longest that is waited for, in milliseconds: also a host that is never quiet gets its room back. */
const LULL_LIMIT_MS = 3_000;

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
 * Removes layers that nobody needs, children first, when nobody changes any: many small ones together, large ones one after the
 * other. After each step it rests as long as that took, so that those who work have at least half of the disk.
 */
export class LayerReaper {
  readonly #parts: LayerReaperParts;
  #reaping: Promise<void> | undefined;
  #again = false;
  #hurried = false;
  #wake: () => void = () => undefined;

  constructor(parts: LayerReaperParts) {
    this.#parts = parts;
  }

  /** There may be something to do, when nobody else has. */
  kick(): void {
    this.#again = true;
    this.#wake();
  }

  /** There may be something to do, and somebody needs the room. */
  hurry(): void {
    this.#hurried = true;
    this.kick();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { repair, log } = this.#parts;
    while (!signal.aborted) {
      this.#again = false;
      this.#hurried = false;
      try {
        await repair.ensureSure();
        await repair.settle(signal);
        await this.reap(signal);
      } catch (thrown) {
        if (!signal.aborted) log.warn("layers not removed; tried again later", { error: thrown });
      }
      if (!this.#again) await this.#pause(RETRY_MS, signal);
      await this.#lull(signal);
    }
  }

  /** Removes all that can go now. */
  async reap(signal: AbortSignal): Promise<void> {
    while (this.#reaping !== undefined) await this.#reaping.catch(() => undefined);
    this.#reaping = this.#reap(signal).finally(() => {
      this.#reaping = undefined;
    });
    await this.#reaping;
  }

  /** What was idle when it began goes, and what that stood on. What is let go of meanwhile waits for the next time. */
  async #reap(signal: AbortSignal): Promise<void> {
    const { records, index, clock } = this.#parts;
    const { releases } = index;
    const stuck = new Set<LayerId>();
    let gone: KeptLayer[] = [];
    let sweep = {};
    // No power cut is to bring back the hold of a layer that is gone.
    if (index.idleCount > 0 && records.unsettled) await records.settle();
    for (let limit = 1; ; ) {
      signal.throwIfAborted();
      const layers = this.#next(stuck, releases, limit);
      if (layers.length === 0 || gone.length >= BATCH) {
        await this.#forget(gone, signal);
        if (layers.length === 0) return;
        gone = [];
        sweep = {};
        // Meanwhile somebody may have taken one of them.
        continue;
      }
      const startedAt = clock.monotonic();
      gone.push(...(await this.#remove(layers, sweep, stuck, signal)));
      const tookMs = clock.monotonic() - startedAt;
      // As many as go in that time, in steps.
      const fitting = Math.floor((layers.length * TOGETHER_MS) / Math.max(tookMs, 1));
      limit = Math.max(1, Math.min(fitting, 2 * limit, BATCH));
      const restMs = Math.min(tookMs, REST_LIMIT_MS);
      if (restMs > 1) await clock.sleep(restMs, signal);
    }
  }

  /** Removes layers of one pool, of which none stands on another. Answers those that are gone; the others are `stuck`. */
  async #remove(
    layers: readonly KeptLayer[],
    sweep: object,
    stuck: Set<LayerId>,
    signal: AbortSignal,
  ): Promise<readonly KeptLayer[]> {
    const { index, pools, sizes, log } = this.#parts;
    const gone: KeptLayer[] = [];
    await index.removing(layers, async () => {
      const together = await this.#removeAll(layers, sweep, signal);
      for (const layer of layers) {
        try {
          const { id, pool } = layer;
          if (!together.has(id)) await pools.get(pool).remove(id, signal, { kept: true, sweep });
          index.dropLayer(id);
          sizes.forget(id);
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
      }
    });
    return gone;
  }

  /** Idle layers of one pool, of which none stands on another: not more than its driver removes together. */
  #next(stuck: ReadonlySet<LayerId>, releases: number, limit: number): readonly KeptLayer[] {
    const { index, pools } = this.#parts;
    const layers = index.listIdle({ except: stuck, releases, limit });
    const pool = pools.names().find((name) => name === layers[0]?.pool);
    const together = pool !== undefined && pools.get(pool).removeAll !== undefined;
    return together ? layers : layers.slice(0, 1);
  }

  /** Answers what is gone. Why the others are not, their own removal tells. */
  async #removeAll(
    layers: readonly KeptLayer[],
    sweep: object,
    signal: AbortSignal,
  ): Promise<ReadonlySet<LayerId>> {
    const { pools, log } = this.#parts;
    const ids = layers.map(({ id }) => id);
    try {
      const [first] = layers;
      const driver = first && pools.get(first.pool);
      return new Set(await driver?.removeAll?.(ids, sweep, signal));
    } catch (thrown) {
      signal.throwIfAborted();
      log.debug("layers not removed together; tried one by one", { layers: ids, error: thrown });
      return new Set();
    }
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

  /** Waits until somebody kicks, for `durationMs` at most. */
  async #pause(durationMs: number, signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    const either = AbortSignal.any([signal, woken.signal]);
    await this.#parts.clock.sleep(durationMs, either).catch(() => undefined);
    this.#wake = () => undefined;
  }

  /** Waits until calls have changed nothing for a while, but not for ever, and no longer than until somebody needs the room. */
  async #lull(signal: AbortSignal): Promise<void> {
    const { clock, index } = this.#parts;
    const hurried = new AbortController();
    this.#wake = () => this.#hurried && hurried.abort();
    const either = AbortSignal.any([signal, hurried.signal]);
    const until = clock.monotonic() + LULL_LIMIT_MS;
    let seen: number;
    do {
      seen = index.changes;
      if (!this.#hurried) await clock.sleep(LULL_MS, either).catch(() => undefined);
    } while (index.changes !== seen && !either.aborted && clock.monotonic() < until);
    this.#wake = () => undefined;
  }
}
