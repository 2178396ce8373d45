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
import { makeSeats, type Seat } from "../core/together.ts";
import { parseLabels } from "../core/volume/options.ts";
import type { Volume, VolumeSpec } from "../core/volume/volume.ts";
import type { EventLog } from "./event-log.ts";
import { type History, rootOf } from "./history.ts";
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

/** What becomes of a snapshot whose layer is there, and with whom it is taken. */
interface HowTaken<T> {
  readonly use: (unshown: Unshown) => Promise<T>;
  readonly seat?: Seat | undefined;
}

/** How snapshots come to be: the record of the intent, the layer, the record that shows it. */
export class SnapshotMaking {
  readonly #parts: SnapshotMakingParts;
  /** Those of which this daemon has said that they failed, and that are not taken back yet. */
  readonly #failed = new Set<SnapshotId>();
  readonly #write = async (unshown: Unshown): Promise<Recorded<Snapshot>> => {
    const how = { ...unshown.when, durable: "soon" } as const;
    const revision = await this.#parts.records.write(unshown.writes, how);
    return { value: unshown.snapshot, revision };
  };

  constructor(parts: SnapshotMakingParts) {
    this.#parts = parts;
  }

  /** Takes a snapshot of a volume or branch as it is now. @throws {Failure} as {@link take}'s caller says; then nothing is left. */
  take(
    line: VolumeName,
    request: SnapshotRequest,
    signal: AbortSignal,
  ): Promise<Recorded<Snapshot>> {
    return this.takeFor(line, request, this.#write, signal);
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
    return this.#parts.queue.run(line, () => this.#takeAlone(line, request, { use }, signal));
  }

  /**
   * Takes snapshots of several volumes, those of one pool of one instant where its driver can. Answers in their order
   * what {@link take} would.
   */
  takeAll(
    lines: readonly VolumeName[],
    request: SnapshotRequest,
    signal: AbortSignal,
  ): Promise<readonly PromiseSettledResult<Recorded<Snapshot>>[]> {
    return this.#parts.queue.runAll(lines, async () => {
      const seats = await this.#seatsFor(lines);
      const takes = lines.map((line, index) => {
        const seat = seats[index];
        const taking = this.#takeAlone(line, request, { use: this.#write, seat }, signal);
        return taking.finally(() => seat?.leave());
      });
      return Promise.allSettled(takes);
    });
  }

  /** For each volume, in their order: a seat with those of its pool, or none where each has an instant of its own. */
  async #seatsFor(lines: readonly VolumeName[]): Promise<readonly (Seat | undefined)[]> {
    const { history, pools } = this.#parts;
    const names = await Promise.all(
      lines.map((line) => history.line(line).then(({ value }) => value.spec.pool)),
    );
    const seats = new Map(
      [...new Set(names)].map((name) => {
        const { joinedSnapshots } = pools.get(name).traits;
        const count = names.filter((one) => one === name).length;
        return [name, joinedSnapshots === undefined ? [] : [...makeSeats(count)]] as const;
      }),
    );
    return names.map((name) => seats.get(name)?.pop());
  }

  /** Nobody else works on the volume meanwhile. */
  async #takeAlone<T>(
    line: VolumeName,
    request: SnapshotRequest,
    how: HowTaken<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const found = await this.#parts.history.line(line);
    const driver = this.#parts.pools.get(found.value.spec.pool);
    const consistency = await this.consistency(found.value, driver, request, signal);
    return this.#make(found, this.#draft(found.value, request, consistency), driver, how, signal);
  }

  /** Shows a snapshot whose making was cut off when its layer is there, as it may have been acknowledged; else takes it back. */
  async resume(operation: VolumeOperation, signal: AbortSignal): Promise<void> {
    const { records, operations, queue } = this.#parts;
    if (operations.underway.has(operation.id)) return;
    const line = await records.findVolume(operation.volume);
    const work = () => queue.run(operation.target, () => this.#resume(operation, signal));
    // Nobody takes its name meanwhile.
    await (line === undefined ? work() : queue.run(`history/${rootOf(line.value)}`, work));
  }

  async #resume(operation: VolumeOperation, signal: AbortSignal): Promise<void> {
    const { records, operations } = this.#parts;
    const { snapshot: id } = operation.about;
    if ((await operations.find(operation.id))?.status.state !== "running") return;
    const line = await records.findVolume(operation.volume);
    const found = id && (await records.findSnapshot(operation.volume, id));
    const failure = new Failure("aborted", "the daemon was restarted meanwhile");
    if (line === undefined || found?.value.status.state !== "creating") {
      await records.write([putOperation(operations.failed(operation, failure))]);
    } else if (await this.#mayBeAcknowledged(line.value, found.value, signal)) {
      await this.#show(line, found, operation);
    } else {
      // It may be of any instant: nobody waits for it.
      await this.#undo(found, operation, failure, signal);
    }
  }

  /** One that was taken for something is shown together with that, and has no use without it. */
  async #mayBeAcknowledged(
    { spec, status }: Volume,
    { id, layer, cause }: Snapshot,
    signal: AbortSignal,
  ): Promise<boolean> {
    if (cause === "clone" || status.state === "removing" || this.#failed.has(id)) return false;
    const layers = await this.#parts.pools.get(spec.pool).list(signal);
    return layers.some((one) => one.id === layer);
  }

  async #show(
    line: Recorded<Volume>,
    found: Recorded<Snapshot>,
    operation: VolumeOperation,
  ): Promise<void> {
    const { records, history, operations } = this.#parts;
    const { value: draft } = found;
    // Only when it was not acknowledged can another have got its name, or a place in the history, before this.
    const family = await history.family(rootOf(line.value));
    const names = [
      ...family.map(({ value }) => value.branch?.name),
      ...(await history.snapshotsOf(family)).map(({ value }) => value.name),
    ];
    const name = draft.name !== null && names.includes(draft.name) ? null : draft.name;
    const snapshot: Snapshot = { ...draft, name, status: { state: "ready" } };
    const tip = line.value.tip === draft.parent ? snapshot.id : line.value.tip;
    await records.write(
      [
        ...[putSnapshot(snapshot), putVolume({ ...line.value, tip })],
        putOperation(operations.done(operation)),
      ],
      { unchanged: [line], unchangedSnapshots: [found], durable: "soon" },
    );
    this.#tellTaken(line.value, snapshot);
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
    { use, seat }: HowTaken<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const { records, operations, log } = this.#parts;
    const { value: volume } = line;
    const operation = operations.begin("snapshot.create", volume, { snapshot: draft.id });
    const intent = [putSnapshot(draft), putOperation(operation)];
    const recorded = records.write(intent, { unchanged: [line] });
    return operations.underway.run(operation, signal, async (work) => {
      work.expect(driver, volume.head);
      const { progress } = work;
      const how = { progress, recorded, seat };
      const made = driver.snapshot(volume.head, draft.layer, work.signal, how);
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
        this.#tellTaken(volume, snapshot);
        return used;
      } catch (thrown) {
        this.#failed.add(draft.id);
        await this.#undo(begun, operation, Failure.from(thrown), signal).catch((cause: unknown) => {
          log.warn("failed snapshot not taken back yet", { volume: volume.name, cause });
        });
        throw thrown;
      }
    });
  }

  #tellTaken({ name }: Volume, { id }: Snapshot): void {
    this.#parts.events.emit({
      ...{ type: "snapshot.created", level: "info", subject: name },
      message: `Snapshot "${name}@${shortId(id)}" was taken`,
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
    this.#failed.delete(begun.value.id);
    await trash.resumePurge(purge, signal);
  }
}
