import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import type { History } from "./history.ts";
import type { ImageSeeds } from "./image-seeds.ts";
import type { LayerStore } from "./layer-store.ts";
import type { Mounts } from "./mounts.ts";
import type { Operations } from "./operations.ts";
import type { Pools } from "./pools.ts";
import type { Quiet } from "./quiet.ts";
import type { Reconcile } from "./reconcile.ts";
import type { Schedules } from "./schedules.ts";
import type { Shadows } from "./shadows.ts";
import type { SnapshotTrash } from "./snapshot-trash.ts";
import type { Trash } from "./trash.ts";
import type { Usage } from "./usage.ts";
import type { Volumes } from "./volumes.ts";

/** How often pools are looked at, in milliseconds. */
export const POOL_LOOK_MS = 10_000;
/** How often volumes from images are looked at, in milliseconds. */
const TRIM_MS = 5_000;
/** How often everything else is done, in milliseconds. */
export const CHORES_MS = 60_000;

/** What {@link Housekeeping} works with. */
interface HousekeepingParts {
  readonly pools: Pools;
  readonly operations: Operations;
  readonly reconcile: Reconcile;
  readonly trash: Trash;
  readonly snapshotTrash: SnapshotTrash;
  readonly mounts: Mounts;
  readonly usage: Usage;
  readonly history: History;
  readonly volumes: Volumes;
  readonly layerStore: LayerStore;
  readonly shadows: Shadows;
  readonly quiet: Quiet;
  readonly schedules: Schedules;
  readonly seeds: ImageSeeds;
  readonly clock: Clock;
  readonly log: Log;
}

/** What the daemon does without being asked. One chore that fails is logged and never keeps the others. */
export class Housekeeping {
  readonly #parts: HousekeepingParts;

  constructor(parts: HousekeepingParts) {
    this.#parts = parts;
  }

  /** Runs until the signal aborts; then resolves. */
  async run(signal: AbortSignal): Promise<void> {
    const { pools, quiet, layerStore, seeds } = this.#parts;
    await Promise.all([
      layerStore.run(signal),
      // By itself: a container that takes a minute to start keeps no other chore.
      this.#every(CHORES_MS, "containers", () => quiet.putBackLeft(), signal),
      this.#onTheMinute(signal),
      this.#every(TRIM_MS, "trim", () => seeds.trim(signal), signal),
      this.#every(POOL_LOOK_MS, "pools", () => pools.refresh(signal), signal),
      this.#every(CHORES_MS, "chores", () => this.chores(signal), signal),
    ]);
  }

  /** One round of the chores. */
  async chores(signal: AbortSignal): Promise<void> {
    const {
      reconcile,
      trash,
      snapshotTrash,
      mounts,
      usage,
      history,
      volumes,
      operations,
      shadows,
    } = this.#parts;
    await this.#do("resume", () => reconcile.resume(signal));
    await this.#do("expire", () => trash.expire(signal));
    await this.#do("expire snapshots", () => snapshotTrash.expire(signal));
    await this.#do("mounts", async () => {
      const all = (await volumes.list()).map(({ value }) => value);
      const busy = new Set((await mounts.counts()).keys());
      await mounts.dropStaleHints(all, signal);
      await mounts.releaseIdle(all);
      const snapshots = (await history.listAll()).map(({ line, snapshot }) => ({
        pool: line.value.spec.pool,
        snapshot: snapshot.value,
      }));
      await usage.sample(all, busy, snapshots, signal);
    });
    await this.#do("operations", () => operations.forgetOld());
    await this.#do("shadows", () => shadows.reportIfCalled(signal));
  }

  /** Schedules have whole minutes. A tick that hangs keeps no later one; those under way end before this resolves. */
  async #onTheMinute(signal: AbortSignal): Promise<void> {
    const { schedules, clock } = this.#parts;
    const ticks = new Set<Promise<void>>();
    while (!signal.aborted) {
      const tick = this.#do("schedules", () => schedules.tick(signal));
      ticks.add(tick);
      void tick.then(() => ticks.delete(tick));
      await clock.sleep(CHORES_MS - (clock.now() % CHORES_MS), signal).catch(() => undefined);
    }
    await Promise.all(ticks);
  }

  async #every(
    intervalMs: number,
    chore: string,
    work: () => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    while (!signal.aborted) {
      await this.#do(chore, work);
      await this.#parts.clock.sleep(intervalMs, signal).catch(() => undefined);
    }
  }

  async #do(chore: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (thrown) {
      this.#parts.log.warn("chore failed; it is tried again", { chore, error: thrown });
    }
  }
}
