import { Failure } from "../core/failure.ts";
import type { LayerId } from "../core/id.ts";
import type { PoolName } from "../core/name.ts";
import type { Log } from "../core/ports/log.ts";
import type { Volume } from "../core/volume/volume.ts";
import type { EventLog } from "./event-log.ts";
import type { Operations } from "./operations.ts";
import type { Pools } from "./pools.ts";
import type { Records } from "./records.ts";
import type { Trash } from "./trash.ts";
import type { Volumes } from "./volumes.ts";

/** Where records and pools do not agree. Nothing here is ever repaired by removing something. */
export interface Disagreement {
  /** Layers in a pool that no volume has: the remains of something, or a store that was set back. */
  readonly orphans: readonly { readonly pool: PoolName; readonly layer: LayerId }[];
  /** Volumes whose layer is not in their pool. */
  readonly lost: readonly Volume[];
  /** Keys of records that cannot be read: damaged, or of another version. */
  readonly damaged: readonly string[];
}

/** What {@link Reconcile} works with. */
interface ReconcileParts {
  readonly records: Records;
  readonly operations: Operations;
  readonly pools: Pools;
  readonly volumes: Volumes;
  readonly trash: Trash;
  readonly events: EventLog;
  readonly log: Log;
}

/** Brings records and machine together after a crash: carries on what was begun, reports what does not fit. */
export class Reconcile {
  readonly #parts: ReconcileParts;

  constructor(parts: ReconcileParts) {
    this.#parts = parts;
  }

  /** Carries on every running operation. One that fails stays running and is tried again by the next call. */
  async resume(signal: AbortSignal): Promise<void> {
    const { operations, volumes, trash, log } = this.#parts;
    for (const operation of await operations.list()) {
      if (operation.status.state !== "running") continue;
      try {
        switch (operation.verb) {
          case "volume.create":
            await volumes.resumeCreate(operation, signal);
            break;
          case "volume.purge":
            await trash.resumePurge(operation, signal);
            break;
        }
      } catch (thrown) {
        log.warn("operation not finished yet", {
          operation: operation.id,
          verb: operation.verb,
          volume: operation.target,
          error: thrown,
        });
      }
    }
  }

  /** Compares every serving pool with the records. */
  async compare(signal: AbortSignal): Promise<Disagreement> {
    const { pools } = this.#parts;
    const layers = new Map<PoolName, ReadonlySet<LayerId>>();
    for (const pool of pools.names()) {
      if (pools.describe(pool).health.state === "faulted") continue;
      const listed = await pools.get(pool).list(signal);
      layers.set(pool, new Set(listed.map(({ id }) => id)));
    }
    // Records are read after the pools: a volume made in between has its record first, and its layer is no orphan.
    const records = await this.#parts.records.listVolumes();
    const volumes = records.map(({ value }) => value);
    const owned = new Set(volumes.map(({ head }) => head));
    return {
      orphans: [...layers].flatMap(([pool, ids]) =>
        [...ids].filter((id) => !owned.has(id)).map((layer) => ({ pool, layer })),
      ),
      lost: volumes.filter(
        ({ head, spec, status }) =>
          status.state !== "creating" &&
          status.state !== "removing" &&
          layers.get(spec.pool)?.has(head) === false,
      ),
      damaged: this.#parts.records.listDamaged(),
    };
  }

  /** {@link compare}, told as events. For the start of the daemon. */
  async report(signal: AbortSignal): Promise<void> {
    const { events, log } = this.#parts;
    const { orphans, lost, damaged } = await this.compare(signal).catch((thrown: unknown) => {
      log.warn("pools not compared with records", { error: Failure.from(thrown) });
      return { orphans: [], lost: [], damaged: [] };
    });
    for (const { pool, layer } of orphans) {
      events.emit({
        type: "pool.orphan",
        level: "warning",
        subject: pool,
        message: `Pool "${pool}" holds layer ${layer}, which belongs to no volume; nothing was removed`,
      });
    }
    for (const key of damaged) {
      events.emit({
        type: "record.damaged",
        level: "warning",
        subject: key,
        message: `The record "${key}" cannot be read and is left out; its content in the pool is untouched`,
      });
    }
    for (const volume of lost) {
      events.emit({
        type: "volume.lost",
        level: "warning",
        subject: volume.name,
        message: `Volume "${volume.name}" has lost its content: layer ${volume.head} is not in pool "${volume.spec.pool}"`,
      });
    }
  }
}
