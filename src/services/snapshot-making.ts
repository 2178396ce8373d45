import { Failure } from "../core/failure.ts";
import { type Consistency, type Snapshot, shortId } from "../core/history/snapshot.ts";
import { type LayerId, newId, type SnapshotId } from "../core/id.ts";
import type { VolumeName } from "../core/name.ts";
import type { VolumeOperation } from "../core/operation/operation.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import type { Random } from "../core/ports/random.ts";
import type { StorageDriver } from "../core/ports/storage-driver.ts";
import type { Write } from "../core/ports/store.ts";
import { parseLabels } from "../core/volume/options.ts";
import type { Volume, VolumeSpec } from "../core/volume/volume.ts";
import type { EventLog } from "./event-log.ts";
import type { History } from "./history.ts";
import { writtenIntent } from "./intent.ts";
import type { KeyedQueue } from "./keyed-queue.ts";
import type { Mounts } from "./mounts.ts";
import type { Operations } from "./operations.ts";
import type { Pools } from "./pools.ts";
import {
  putOperation,
  putSnapshot,
  putVolume,
  type Recorded,
  type Records,
  type Unchanged,
} from "./records.ts";
import type { SnapshotTrash } from "./snapshot-trash.ts";
import type { SnapshotRequest } from "./snapshots.ts";
import { orStop } from "./volume-rules.ts";

/** What {@link SnapshotMaking} works with. */
export interface SnapshotMakingParts {
  readonly records: Records;
  readonly history: History;
  readonly operations: Operations;
  readonly pools: Pools;
  readonly mounts: Mounts;
  readonly trash: SnapshotTrash;
  readonly events: EventLog;
  readonly queue: KeyedQueue;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** A snapshot whose layer is there, and that nobody sees yet. */
export interface Unshown {
  readonly snapshot: Snapshot;
  /** Of the volume that it is of. */
  readonly spec: VolumeSpec;
  /** Show it: to be written together with the record of what it was taken for. */
  readonly writes: readonly Write[];
  readonly when: Unchanged;
}

/** How snapshots come to be: the record of the intent, the layer, the record that shows it. */
export class SnapshotMaking {
  readonly #parts: SnapshotMakingParts;

  constructor(parts: SnapshotMakingParts) {
    this.#parts = parts;
  }

  /** Takes a snapshot of a volume or branch as it is now. @throws {Failure} as {@link take}'s caller says; then nothing is left. */
  take(
    line: VolumeName,
    request: SnapshotRequest,
    signal: AbortSignal,
  ): Promise<Recorded<Snapshot>> {
    const write = async ({ snapshot, writes, when }: Unshown): Promise<Recorded<Snapshot>> => {
      return { value: snapshot, revision: await this.#parts.records.write(writes, when) };
    };
    return this.takeFor(line, request, write, signal);
  }

  /**
   * Takes a snapshot for something that has no record yet: `use` shows both in one transaction, and resolves when that is
   * written. When it throws, or the daemon ends before, there is no snapshot.
   *
   * @throws {Failure} `not_found`; `failed_precondition` when the pool cannot take one, or not while the volume is in
   * use; what the driver says and `use` throws.
   */
  takeFor<T>(
    line: VolumeName,
    request: SnapshotRequest,
    use: (unshown: Unshown) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    return this.#parts.queue.run(line, async () => {
      const found = await this.#parts.history.line(line);
      const driver = this.#parts.pools.get(found.value.spec.pool);
      const consistency = await this.consistency(found.value, driver, request, signal);
      return this.#make(found, this.#draft(found.value, request, consistency), driver, use, signal);
    });
  }

  /** Takes back a snapshot whose making was cut off. */
  resume(operation: VolumeOperation, signal: AbortSignal): Promise<void> {
    return this.#parts.queue.run(operation.target, async () => {
      const { records, operations } = this.#parts;
      const { snapshot: id } = operation.about;
      if ((await operations.find(operation.id))?.status.state !== "running") return;
      const found = id && (await records.findSnapshot(operation.volume, id));
      // What was not acknowledged may be of any instant: nobody waits for it.
      const failure = new Failure("aborted", "the daemon was restarted meanwhile");
      if (found?.value.status.state === "creating") {
        await this.#undo(found, operation, failure, signal);
      } else {
        await records.write([putOperation(operations.failed(operation, failure))]);
      }
    });
  }

  /** What a snapshot of a volume would be worth now. @throws {Failure} as {@link takeFor}. */
  async consistency(
    volume: Volume,
    driver: StorageDriver,
    { quiet }: SnapshotRequest,
    signal: AbortSignal,
  ): Promise<Consistency> {
    const { layers, liveSnapshots } = driver.traits;
    if (!layers) {
      throw new Failure(
        "failed_precondition",
        `Cannot take a snapshot of volume "${volume.name}": the driver of pool "${volume.spec.pool}" keeps none`,
      );
    }
    if (liveSnapshots === false) {
      await this.#parts.mounts
        .ensureUnused(volume, "snapshot", { askEngines: false }, signal)
        .catch((thrown: unknown) => {
          throw orStop(thrown, `lagan snapshot create ${volume.name} --stop`);
        });
    }
    if (quiet !== undefined) return quiet === "stop" ? "stopped" : "paused";
    return liveSnapshots === false ? "unused" : liveSnapshots;
  }

  #draft(volume: Volume, request: SnapshotRequest, consistency: Consistency): Snapshot {
    const { clock, random } = this.#parts;
    return {
      id: newId<SnapshotId>(clock, random),
      volume: volume.id,
      layer: newId<LayerId>(clock, random),
      parent: volume.tip,
      name: request.name ?? null,
      message: request.message ?? "",
      labels: parseLabels(request.labels ?? {}),
      author: request.author,
      createdAt: clock.now(),
      cause: request.cause ?? "asked",
      consistency,
      group: request.group ?? null,
      protection: null,
      status: { state: "creating" },
    };
  }

  async #make<T>(
    line: Recorded<Volume>,
    draft: Snapshot,
    driver: StorageDriver,
    use: (unshown: Unshown) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const { records, operations, events, log } = this.#parts;
    const { value: volume } = line;
    const operation = operations.begin("snapshot.create", volume, { snapshot: draft.id });
    const intent = [putSnapshot(draft), putOperation(operation)];
    const recorded = records.write(intent, { unchanged: [line] });
    return operations.underway.run(operation, signal, async (work) => {
      work.expect(driver, volume.head);
      const made = driver.snapshot(volume.head, draft.layer, work.signal, { ...work, recorded });
      const begun = { value: draft, revision: await writtenIntent(recorded, made) };
      try {
        await made;
        const snapshot: Snapshot = { ...draft, status: { state: "ready" } };
        const tip = putVolume({ ...volume, tip: snapshot.id });
        const used = await use({
          ...{ snapshot, spec: volume.spec },
          writes: [putSnapshot(snapshot), tip, putOperation(operations.done(operation))],
          when: { unchanged: [line], unchangedSnapshots: [begun] },
        });
        events.emit({
          ...{ type: "snapshot.created", level: "info", subject: volume.name },
          message: `Snapshot "${volume.name}@${shortId(snapshot.id)}" was taken`,
        });
        return used;
      } catch (thrown) {
        await this.#undo(begun, operation, Failure.from(thrown), signal).catch((cause: unknown) => {
          log.warn("failed snapshot not taken back yet", { volume: volume.name, cause });
        });
        throw thrown;
      }
    });
  }

  /** When the write that shows it turns out to have happened after all, it stays. */
  async #undo(
    begun: Recorded<Snapshot>,
    operation: VolumeOperation,
    failure: Failure,
    signal: AbortSignal,
  ): Promise<void> {
    const { records, operations, trash } = this.#parts;
    const found = await records.findVolume(begun.value.volume);
    if (found === undefined) return;
    const purge = operations.begin("snapshot.purge", found.value, { snapshot: begun.value.id });
    await records.write(
      [
        putSnapshot({ ...begun.value, status: { state: "removing" } }),
        putOperation(operations.failed(operation, failure)),
        putOperation(purge),
      ],
      { unchangedSnapshots: [begun] },
    );
    await trash.resumePurge(purge, signal);
  }
}
