import { Failure } from "../core/failure.ts";
import type { Ref } from "../core/history/ref.ts";
import {
  type Consistency,
  type PointName,
  type Snapshot,
  type SnapshotCause,
  shortId,
} from "../core/history/snapshot.ts";
import { type LayerId, newId, type SnapshotId } from "../core/id.ts";
import type { VolumeName } from "../core/name.ts";
import type { VolumeOperation } from "../core/operation/operation.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import type { Random } from "../core/ports/random.ts";
import type { StorageDriver } from "../core/ports/storage-driver.ts";
import type { Write } from "../core/ports/store.ts";
import type { QuietHow } from "../core/quiet/plan-quiet.ts";
import { formatMinute } from "../core/time.ts";
import { mergeLabels, parseLabels } from "../core/volume/options.ts";
import type { Labels, Volume } from "../core/volume/volume.ts";
import type { EventLog } from "./event-log.ts";
import { type History, rootOf } from "./history.ts";
import { writtenIntent } from "./intent.ts";
import type { KeyedQueue } from "./keyed-queue.ts";
import type { Mounts } from "./mounts.ts";
import type { Operations } from "./operations.ts";
import type { Pools } from "./pools.ts";
import type { Quiet } from "./quiet.ts";
import { putOperation, putSnapshot, putVolume, type Recorded, type Records } from "./records.ts";
import type { SnapshotTrash } from "./snapshot-trash.ts";
import { orStop } from "./volume-rules.ts";

/** What a new snapshot is to be. */
export interface SnapshotRequest {
  readonly name?: PointName;
  readonly message?: string;
  readonly labels?: Labels;
  readonly author: string;
  readonly group?: PointName;
  /** `asked` unless told. */
  readonly cause?: SnapshotCause;
  /** What is done to the containers that write to it meanwhile; absent: nothing but their hooks. */
  readonly quiet?: QuietHow;
}

/** A snapshot that was taken, and what became of the containers around it. */
export interface Taken extends Recorded<Snapshot> {
  /** Names of the containers that were paused or stopped, and are as before. */
  readonly containers: readonly string[];
  /** What could not be put back, and post-hooks that failed: sentences. */
  readonly faults: readonly string[];
}

/** Snapshots of several volumes, taken together. */
export interface TakenGroup {
  readonly snapshots: readonly Recorded<Snapshot>[];
  readonly containers: readonly string[];
  readonly faults: readonly string[];
  /** Between the first instant that was kept and the last, in milliseconds, at most. */
  readonly skewMs: number;
}

/** What `update` changes; what is absent stays. */
export interface SnapshotChange {
  /** Null takes the name away. */
  readonly name?: PointName | null;
  readonly message?: string;
  /** A null value takes the label away. */
  readonly labels?: Readonly<Record<string, string | null>>;
  readonly protect?: boolean;
  readonly author: string;
}

/** What {@link Snapshots} works with. */
interface SnapshotsParts {
  readonly records: Records;
  readonly history: History;
  readonly operations: Operations;
  readonly pools: Pools;
  readonly mounts: Mounts;
  readonly trash: SnapshotTrash;
  readonly quiet: Quiet;
  readonly events: EventLog;
  readonly queue: KeyedQueue;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** The history of volumes: points of it are taken, found, changed and put into the trash. */
export class Snapshots {
  readonly #parts: SnapshotsParts;
  /** Those taken for what has no record yet. Their operations run on, so that a crash takes them back. */
  readonly #held = new Map<SnapshotId, VolumeOperation>();

  constructor(parts: SnapshotsParts) {
    this.#parts = parts;
  }

  /**
   * Takes a snapshot of a volume or branch as it is now, between the hooks of the containers that use it.
   *
   * @throws {Failure} `not_found`; `already_exists` for a name of this history that is taken; `failed_precondition`
   * when the pool cannot take one, or not while the volume is in use, or for a hook that fails; what the driver says.
   * Then nothing is left.
   */
  async create(line: VolumeName, request: SnapshotRequest, signal: AbortSignal): Promise<Taken> {
    const { quiet, history } = this.#parts;
    const { value: volume } = await history.line(line);
    const { name } = request;
    // Before any hook is run, or container paused, for nothing.
    if (request.quiet !== "stop") {
      const driver = this.#parts.pools.get(volume.spec.pool);
      await this.#consistency(volume, driver, request, signal);
    }
    const options = { how: request.quiet, attempt: `snapshot volume "${line}"` };
    const work = () => this.takeNow(line, request, signal);
    const { result, containers, faults } = await quiet.around(
      [volume],
      options,
      () => (name === undefined ? work() : this.withName(volume, name, work)),
      signal,
    );
    return { ...result, containers, faults };
  }

  /**
   * Takes snapshots of several volumes, as near to one instant as their pools allow: with their containers paused or
   * stopped, nothing is written in between.
   *
   * @throws {Failure} as {@link create}; then none is left.
   */
  async createGroup(
    lines: readonly VolumeName[],
    request: SnapshotRequest & { readonly group: PointName },
    signal: AbortSignal,
  ): Promise<TakenGroup> {
    const { quiet, history, clock } = this.#parts;
    const volumes = await Promise.all(lines.map(async (line) => (await history.line(line)).value));
    const options = { how: request.quiet, attempt: `snapshot group "${request.group}"` };
    const { result, containers, faults } = await quiet.around(
      volumes,
      options,
      async () => {
        const from = clock.monotonic();
        const settled = await Promise.allSettled(
          lines.map((line) => this.takeNow(line, request, signal)),
        );
        const skewMs = clock.monotonic() - from;
        const snapshots = settled.flatMap((one) => (one.status === "fulfilled" ? one.value : []));
        const failed = settled.find((one) => one.status === "rejected");
        if (failed === undefined) return { snapshots, skewMs };
        for (const snapshot of snapshots) await this.forget(snapshot, signal);
        throw failed.reason;
      },
      signal,
    );
    return { ...result, containers, faults };
  }

  /**
   * {@link create} without a name of its own and without hooks: for what needs a snapshot to stand on. One of cause
   * `clone` stays for good when what {@link used} gives is written; else {@link forget} or a restart takes it back.
   */
  takeNow(
    line: VolumeName,
    request: SnapshotRequest,
    signal: AbortSignal,
  ): Promise<Recorded<Snapshot>> {
    return this.#parts.queue.run(line, async () => {
      const found = await this.#parts.history.line(line);
      const driver = this.#parts.pools.get(found.value.spec.pool);
      const consistency = await this.#consistency(found.value, driver, request, signal);
      return this.#take(found, request, consistency, driver, signal);
    });
  }

  /** To be written together with the record of what a held snapshot was taken for. */
  used(id: SnapshotId): readonly Write[] {
    const held = this.#held.get(id);
    return held === undefined ? [] : [putOperation(this.#parts.operations.done(held))];
  }

  /** What a held snapshot was taken for is written, or is not going to be. */
  release(id: SnapshotId): void {
    this.#held.delete(id);
  }

  /** Removes one for good that was taken for something that failed. It is tried again later when it cannot be now. */
  async forget(snapshot: Recorded<Snapshot>, signal: AbortSignal): Promise<void> {
    const { records, trash, log } = this.#parts;
    const held = this.#held.get(snapshot.value.id);
    try {
      const line = await records.findVolume(snapshot.value.volume);
      if (held !== undefined) {
        await this.#undo(snapshot, held, new Failure("aborted", "it is not needed"), signal);
      } else if (line !== undefined) await trash.discard(line.value, snapshot, signal);
    } catch (error) {
      log.warn("snapshot not taken back yet", { snapshot: snapshot.value.id, error });
    }
  }

  /**
   * Does `work` while `name` is free in the history of a volume and its branches, and nobody else takes it. Never called
   * while a volume's own lane of the queue is held: `work` may wait for it.
   *
   * @throws {Failure} `already_exists`; what `work` throws.
   */
  withName<T>(line: Volume, name: PointName, work: () => Promise<T>): Promise<T> {
    const root = rootOf(line);
    return this.#parts.queue.run(`history/${root}`, async () => {
      const family = await this.#parts.history.family(root);
      const branch = family.find(({ value }) => value.branch?.name === name);
      const snapshots = await this.#parts.history.snapshotsOf(family);
      const snapshot = snapshots.find(({ value }) => value.name === name);
      if (branch === undefined && snapshot === undefined) return work();
      const holder = branch === undefined ? "snapshot" : "branch";
      throw new Failure(
        "already_exists",
        `Cannot use the name "${name}": a ${holder} of this volume has it already`,
      );
    });
  }

  /** @throws {Failure} as {@link History.get}; `already_exists` for the name; `aborted` when it changed meanwhile. */
  async update(ref: Ref, change: SnapshotChange): Promise<Recorded<Snapshot>> {
    const { line } = await this.#parts.history.get(ref);
    const write = async (): Promise<Recorded<Snapshot>> => {
      const { snapshot: found } = await this.#parts.history.get(ref);
      const { name, message, labels, protect, author } = change;
      const { value } = found;
      const protection = { by: author, at: this.#parts.clock.now() };
      const snapshot: Snapshot = {
        ...value,
        name: name === undefined ? value.name : name,
        message: message ?? value.message,
        labels: labels === undefined ? value.labels : mergeLabels(value.labels, labels),
        protection:
          protect === undefined
            ? value.protection
            : protect
              ? (value.protection ?? protection)
              : null,
      };
      const revision = await this.#parts.records.write([putSnapshot(snapshot)], {
        unchangedSnapshots: [found],
      });
      return { value: snapshot, revision };
    };
    const { name } = change;
    const { snapshot } = await this.#parts.history.get(ref);
    if (name === undefined || name === null || name === snapshot.value.name) return write();
    return this.withName(line.value, name, write);
  }

  /**
   * Puts a snapshot into the trash; with the trash turned off it is removed for good.
   *
   * @throws {Failure} as {@link History.get}; `failed_precondition` when it is protected, naming who did it and when.
   */
  async remove(ref: Ref, signal: AbortSignal): Promise<Recorded<Snapshot>> {
    const { line, snapshot } = await this.#parts.history.get(ref);
    const { protection, name, id } = snapshot.value;
    if (protection !== null) {
      const shown = `${ref.volume}@${name ?? shortId(id)}`;
      throw new Failure(
        "failed_precondition",
        `Cannot remove snapshot "${shown}": it is protected, by ${protection.by} at ${formatMinute(protection.at)}; first: lagan snapshot set ${shown} --no-protect`,
      );
    }
    return this.#parts.trash.put(line.value, snapshot, signal);
  }

  /** Takes back a snapshot whose making was cut off. */
  resumeCreate(operation: VolumeOperation, signal: AbortSignal): Promise<void> {
    return this.#parts.queue.run(operation.target, async () => {
      const { records, operations } = this.#parts;
      const { snapshot: id } = operation.about;
      if (id !== undefined && this.#held.has(id)) return;
      if ((await operations.find(operation.id))?.status.state !== "running") return;
      const found = id && (await records.findSnapshot(operation.volume, id));
      // What was not acknowledged may be of any instant: nobody waits for it.
      const failure = new Failure("aborted", "the daemon was restarted meanwhile");
      if (found?.value.status.state === "creating" || found?.value.status.state === "ready") {
        await this.#undo(found, operation, failure, signal);
      } else {
        await records.write([putOperation(operations.failed(operation, failure))]);
      }
    });
  }

  async #take(
    line: Recorded<Volume>,
    request: SnapshotRequest,
    consistency: Consistency,
    driver: StorageDriver,
    signal: AbortSignal,
  ): Promise<Recorded<Snapshot>> {
    const { records, operations, clock, random, events, log } = this.#parts;
    const { value: volume } = line;
    const snapshot: Snapshot = {
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
    const operation = operations.begin("snapshot.create", volume, { snapshot: snapshot.id });
    const intent = [putSnapshot(snapshot), putOperation(operation)];
    const recorded = records.write(intent, { unchanged: [line] });
    return operations.underway.run(operation, signal, async (work) => {
      work.expect(driver, volume.head);
      const made = driver.snapshot(volume.head, snapshot.layer, work.signal, { ...work, recorded });
      const begun = { value: snapshot, revision: await writtenIntent(recorded, made) };
      try {
        await made;
        const ready: Snapshot = { ...snapshot, status: { state: "ready" } };
        const held = ready.cause === "clone";
        if (held) this.#held.set(ready.id, operation);
        const written = await records.write(
          [
            putSnapshot(ready),
            putVolume({ ...volume, tip: ready.id }),
            ...(held ? [] : [putOperation(operations.done(operation))]),
          ],
          { unchanged: [line], unchangedSnapshots: [begun] },
        );
        events.emit({
          type: "snapshot.created",
          level: "info",
          subject: volume.name,
          message: `Snapshot "${volume.name}@${shortId(ready.id)}" was taken`,
        });
        return { value: ready, revision: written };
      } catch (thrown) {
        this.#held.delete(snapshot.id);
        await this.#undo(begun, operation, Failure.from(thrown), signal).catch((cause: unknown) => {
          log.warn("failed snapshot not taken back yet", { volume: volume.name, cause });
        });
        throw thrown;
      }
    });
  }

  /** When the write that shows it turns out to have happened after all, it stays. */
  async #undo(
    { value, revision }: Recorded<Snapshot>,
    operation: VolumeOperation,
    failure: Failure,
    signal: AbortSignal,
  ): Promise<void> {
    const { records, operations, trash } = this.#parts;
    const found = await records.findVolume(value.volume);
    if (found === undefined) return;
    const purge = operations.begin("snapshot.purge", found.value, { snapshot: value.id });
    await records.write(
      [
        putSnapshot({ ...value, status: { state: "removing" } }),
        putOperation(operations.failed(operation, failure)),
        putOperation(purge),
      ],
      { unchangedSnapshots: [{ value, revision }] },
    );
    await trash.resumePurge(purge, signal);
  }

  async #consistency(
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
}
