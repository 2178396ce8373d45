import { Failure } from "../core/failure.ts";
import { type Snapshot, shortId } from "../core/history/snapshot.ts";
import type { LayerId } from "../core/id.ts";
import type { PoolName } from "../core/name.ts";
import type { Operation } from "../core/operation/operation.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import type { Volume } from "../core/volume/volume.ts";
import type { EventLog } from "./event-log.ts";
import type { Images } from "./images.ts";
import type { Operations } from "./operations.ts";
import type { Pools } from "./pools.ts";
import type { Records } from "./records.ts";
import type { Resizes } from "./resizes.ts";
import type { Restores } from "./restores.ts";
import type { SnapshotMaking } from "./snapshot-making.ts";
import { isNeeded, type SnapshotTrash } from "./snapshot-trash.ts";
import type { Trash } from "./trash.ts";
import type { VolumeMaking } from "./volume-making.ts";

/** A snapshot, or a volume's head, whose layer is gone. */
export interface Lost {
  readonly volume: Volume;
  readonly snapshot: Snapshot | undefined;
}

/** Where records and pools do not agree. Nothing here is ever repaired by removing something. */
export interface Disagreement {
  /** Layers in a pool that nothing has: the remains of something, or a store that was set back. */
  readonly orphans: readonly { readonly pool: PoolName; readonly layer: LayerId }[];
  /** Volumes and snapshots whose layer is not in their pool. */
  readonly lost: readonly Lost[];
  /** Keys of records that cannot be read: damaged, or of another version. */
  readonly damaged: readonly string[];
}

/** What {@link Reconcile} works with. */
interface ReconcileParts {
  readonly records: Records;
  readonly operations: Operations;
  readonly pools: Pools;
  readonly volumeMaking: VolumeMaking;
  readonly trash: Trash;
  readonly snapshotMaking: SnapshotMaking;
  readonly snapshotTrash: SnapshotTrash;
  readonly restores: Restores;
  readonly resizes: Resizes;
  readonly images: Images;
  /** True of a layer that engines and images use: it is no volume's, and nobody's orphan. */
  readonly isKept: (layer: LayerId) => boolean;
  readonly events: EventLog;
  readonly clock: Clock;
  readonly log: Log;
}

/** How long whoever has operations carried on waits for them, in milliseconds: a start of the daemon is not to take longer. */
const PATIENCE_MS = 2_000;

/** Brings records and machine together after a crash: carries on what was begun, reports what does not fit. */
export class Reconcile {
  readonly #parts: ReconcileParts;
  #resuming: Promise<void> | undefined;

  constructor(parts: ReconcileParts) {
    this.#parts = parts;
  }

  /** For the start of the daemon: {@link resume} and {@link report}. */
  async start(signal: AbortSignal): Promise<void> {
    await this.#parts.volumeMaking.inherit();
    await this.resume(signal);
    await this.report(signal);
  }

  /**
   * Carries on every running operation. One that fails stays running and is tried again by the next call. What copies
   * or removes a large tree goes on when this has waited for it for a while: nobody else has to.
   */
  async resume(signal: AbortSignal): Promise<void> {
    this.#resuming ??= this.#resumeAll(signal).finally(() => {
      this.#resuming = undefined;
    });
    // Whoever still waits hears of a failure; nobody else has to.
    this.#resuming.catch(() => undefined);
    const over = new AbortController();
    const waited = this.#parts.clock
      .sleep(PATIENCE_MS, AbortSignal.any([signal, over.signal]))
      .catch(() => undefined);
    try {
      await Promise.race([this.#resuming, waited]);
    } finally {
      over.abort();
    }
  }

  async #resumeAll(signal: AbortSignal): Promise<void> {
    const { operations, log } = this.#parts;
    const running = (await operations.list()).filter(({ status }) => status.state === "running");
    // What may have been acknowledged comes first: the others may take long.
    const first = running.filter(({ verb }) => verb === "snapshot.create");
    for (const operation of new Set([...first, ...running])) {
      try {
        await this.#resume(operation, signal);
      } catch (thrown) {
        if (isNeeded(thrown)) {
          log.debug("removal waits for what is made from it", { operation: operation.id });
          continue;
        }
        log.warn("operation not finished yet", {
          operation: operation.id,
          verb: operation.verb,
          volume: operation.target,
          error: thrown,
        });
      }
    }
  }

  #resume(begun: Operation, signal: AbortSignal): Promise<void> {
    const { volumeMaking, trash, snapshotMaking, snapshotTrash, restores, resizes, images } =
      this.#parts;
    const { volume } = begun;
    if (volume === null) return images.resumeImport(begun);
    const operation = { ...begun, volume };
    switch (operation.verb) {
      case "image.import":
        return images.resumeImport(operation);
      case "volume.create":
      case "volume.import":
        return volumeMaking.resume(operation, signal);
      case "volume.purge":
        return trash.resumePurge(operation, signal);
      case "volume.resize":
        return resizes.resume(operation, signal);
      case "volume.restore":
        return restores.resume(operation, signal);
      case "snapshot.create":
        return snapshotMaking.resume(operation, signal);
      case "snapshot.purge":
        return snapshotTrash.resumePurge(operation, signal);
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
    const { records, isKept } = this.#parts;
    const volumes = (await records.listVolumes()).map(({ value }) => value);
    const snapshots = (await records.listSnapshots()).map(({ value }) => value);
    const underWay = (await records.listOperations())
      .filter(({ status }) => status.state === "running")
      .flatMap(({ about: { head, replaced } }) => [head ?? [], replaced ?? []].flat());
    const owned = new Set([
      ...volumes.map(({ head }) => head),
      ...snapshots.map(({ layer }) => layer),
      ...underWay,
    ]);
    const byId = new Map(volumes.map((volume) => [volume.id, volume]));
    const isLost = (volume: Volume, layer: LayerId, { state }: { readonly state: string }) =>
      state !== "creating" &&
      state !== "removing" &&
      layers.get(volume.spec.pool)?.has(layer) === false;
    return {
      orphans: [...layers].flatMap(([pool, ids]) =>
        [...ids].filter((id) => !owned.has(id) && !isKept(id)).map((layer) => ({ pool, layer })),
      ),
      lost: [
        ...volumes
          .filter((volume) => isLost(volume, volume.head, volume.status))
          .map((volume) => ({ volume, snapshot: undefined })),
        ...snapshots.flatMap((snapshot) => {
          const volume = byId.get(snapshot.volume);
          const lost = volume !== undefined && isLost(volume, snapshot.layer, snapshot.status);
          return lost ? [{ volume, snapshot }] : [];
        }),
      ],
      damaged: records.listDamaged(),
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
        message: `Pool "${pool}" holds layer ${layer}, which belongs to no volume and no snapshot; nothing was removed`,
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
    for (const one of lost) {
      events.emit({
        type: one.snapshot === undefined ? "volume.lost" : "snapshot.lost",
        level: "warning",
        subject: one.volume.name,
        message: inWords(one),
      });
    }
  }
}

/** What is lost, as a sentence without its full stop. */
export function inWords({ volume, snapshot }: Lost): string {
  const { name, spec } = volume;
  return snapshot === undefined
    ? `Volume "${name}" has lost its content: layer ${volume.head} is not in pool "${spec.pool}"`
    : `Snapshot "${name}@${shortId(snapshot.id)}" is lost: layer ${snapshot.layer} is not in pool "${spec.pool}"`;
}
