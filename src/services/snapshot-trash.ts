import { Failure } from "../core/failure.ts";
import { type Snapshot, shortId } from "../core/history/snapshot.ts";
import type { SnapshotId, VolumeId } from "../core/id.ts";
import type { VolumeOperation } from "../core/operation/operation.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import type { Volume } from "../core/volume/volume.ts";
import type { EventLog } from "./event-log.ts";
import type { KeyedQueue } from "./keyed-queue.ts";
import type { Operations } from "./operations.ts";
import type { Pools } from "./pools.ts";
import { dropSnapshot, putOperation, putSnapshot, type Recorded, type Records } from "./records.ts";

/** A removed snapshot with the volume, or branch, that it is of. */
export interface TrashedSnapshot {
  readonly line: Recorded<Volume>;
  readonly snapshot: Recorded<Snapshot>;
}

/** What {@link SnapshotTrash} works with. */
interface SnapshotTrashParts {
  readonly records: Records;
  readonly operations: Operations;
  readonly pools: Pools;
  readonly events: EventLog;
  readonly queue: KeyedQueue;
  /** How long a removed snapshot stays, in milliseconds; 0: not at all, null: until emptied. */
  readonly trashKeepMs: number | null;
  readonly clock: Clock;
  readonly log: Log;
}

/** Removed snapshots: kept whole until they expire or the trash is emptied, and never longer than their volume. */
export class SnapshotTrash {
  readonly #parts: SnapshotTrashParts;

  constructor(parts: SnapshotTrashParts) {
    this.#parts = parts;
  }

  /** Of volumes that are not in the trash themselves, the one removed last first. */
  async list(): Promise<readonly TrashedSnapshot[]> {
    const { records } = this.#parts;
    const lines = new Map((await records.listVolumes()).map((line) => [line.value.id, line]));
    return (await records.listSnapshots())
      .flatMap((snapshot) => {
        const line = lines.get(snapshot.value.volume);
        const shown =
          line?.value.status.state === "ready" && snapshot.value.status.state === "trashed";
        return shown ? [{ line, snapshot }] : [];
      })
      .sort((a, b) => trashedAt(b) - trashedAt(a));
  }

  /**
   * The removed snapshot that `text` names: `VOLUME@NAME`, `VOLUME@ID`, a short or a whole id, or its beginning.
   *
   * @throws {Failure} `not_found`; `invalid_argument` when it fits several.
   */
  async get(text: string): Promise<TrashedSnapshot> {
    const [first = "", second] = text.split("@");
    const at = second ?? first;
    const fitting = (await this.list()).filter(
      ({ line, snapshot: { value } }) =>
        (second === undefined || line.value.name === first) &&
        (value.name === at ||
          (at.length >= 4 && (value.id.startsWith(at) || shortId(value.id).startsWith(at)))),
    );
    const [only, ...others] = fitting;
    if (only === undefined) {
      throw new Failure(
        "not_found",
        `Cannot find "${text}" in the trash; to see what is in it: lagan trash ls`,
      );
    }
    if (others.length > 0) {
      const ids = fitting.map(({ snapshot }) => shortId(snapshot.value.id)).join(", ");
      throw new Failure("invalid_argument", `Cannot tell which snapshot "${text}" means: ${ids}`);
    }
    return only;
  }

  /** Puts a ready snapshot in; with the trash turned off it is removed for good before this resolves. */
  async put(
    line: Volume,
    found: Recorded<Snapshot>,
    signal: AbortSignal,
  ): Promise<Recorded<Snapshot>> {
    const { records, trashKeepMs, clock, events } = this.#parts;
    if (trashKeepMs === 0) return this.discard(line, found, signal);
    const at = clock.now();
    const expiresAt = trashKeepMs === null ? null : at + trashKeepMs;
    const snapshot: Snapshot = {
      ...found.value,
      status: { state: "trashed", trashedAt: at, expiresAt },
    };
    const revision = await records.write([putSnapshot(snapshot)], { unchangedSnapshots: [found] });
    const short = shortId(snapshot.id);
    events.emit({
      type: "snapshot.trashed",
      level: "info",
      subject: line.name,
      message: `Snapshot "${line.name}@${short}" is in the trash; to get it back: lagan trash restore ${line.name}@${short}`,
    });
    return { value: snapshot, revision };
  }

  /**
   * Takes a snapshot out of the trash. A name that another has got meanwhile is not given back.
   *
   * @throws {Failure} as {@link get}.
   */
  async restore(text: string): Promise<TrashedSnapshot> {
    const { line, snapshot: found } = await this.get(text);
    const { records, events } = this.#parts;
    const others = await records.listSnapshots(line.value.id);
    const taken = others.some(
      ({ value }) => value.status.state === "ready" && value.name === found.value.name,
    );
    const snapshot: Snapshot = {
      ...found.value,
      name: taken ? null : found.value.name,
      status: { state: "ready" },
    };
    const revision = await records.write([putSnapshot(snapshot)], { unchangedSnapshots: [found] });
    events.emit({
      type: "snapshot.restored",
      level: "info",
      subject: line.value.name,
      message: `Snapshot "${line.value.name}@${shortId(snapshot.id)}" is back from the trash`,
    });
    return { line, snapshot: { value: snapshot, revision } };
  }

  /** Removes one that is in the trash for good. @throws {Failure} `not_found`, or what the driver says. */
  async purge(volume: VolumeId, id: SnapshotId, signal: AbortSignal): Promise<void> {
    const { records } = this.#parts;
    const line = await records.findVolume(volume);
    const found = await records.findSnapshot(volume, id);
    if (line === undefined || found?.value.status.state !== "trashed") {
      throw new Failure("not_found", `Cannot find snapshot ${shortId(id)} in the trash`);
    }
    await this.discard(line.value, found, signal);
  }

  /** Purges what has expired. One that fails is logged and tried again; it never holds up the others. */
  async expire(signal: AbortSignal): Promise<void> {
    const now = this.#parts.clock.now();
    for (const { line, snapshot } of await this.list()) {
      const { status } = snapshot.value;
      if (status.state !== "trashed" || status.expiresAt === null || status.expiresAt > now)
        continue;
      await this.discard(line.value, snapshot, signal).catch((thrown: unknown) => {
        this.#parts.log.warn("expired snapshot not removed", {
          snapshot: snapshot.value.id,
          error: thrown,
        });
      });
    }
  }

  /**
   * Removes a snapshot for good. It is out of sight at once; where others are made from it and the storage needs it for
   * them, its bytes stay until those are gone.
   */
  async discard(
    line: Volume,
    found: Recorded<Snapshot>,
    signal: AbortSignal,
  ): Promise<Recorded<Snapshot>> {
    const { records, operations } = this.#parts;
    const removing: Snapshot = { ...found.value, status: { state: "removing" } };
    const operation = operations.begin("snapshot.purge", line, { snapshot: removing.id });
    const revision = await records.write([putSnapshot(removing), putOperation(operation)], {
      unchangedSnapshots: [found],
    });
    await this.resumePurge(operation, signal);
    return { value: removing, revision };
  }

  /** Carries on a removal that was begun. */
  resumePurge(operation: VolumeOperation, signal: AbortSignal): Promise<void> {
    const { snapshot: id } = operation.about;
    return this.#parts.queue.run(`snapshot/${id}`, async () => {
      const { records, operations, pools, events } = this.#parts;
      const line = await records.findVolume(operation.volume);
      const found = id && (await records.findSnapshot(operation.volume, id));
      if (line === undefined || found?.value.status.state !== "removing") {
        // With its volume, whose own removal took it along.
        const running = (await operations.find(operation.id))?.status.state === "running";
        if (running) await records.write([putOperation(operations.done(operation))]);
        return;
      }
      try {
        await pools.get(line.value.spec.pool).remove(found.value.layer, signal);
      } catch (thrown) {
        // Housekeeping comes back to it.
        if (isNeeded(thrown)) return;
        throw thrown;
      }
      await records.write([dropSnapshot(found.value), putOperation(operations.done(operation))], {
        unchangedSnapshots: [found],
        durable: "soon",
      });
      events.emit({
        type: "snapshot.removed",
        level: "info",
        subject: line.value.name,
        message: `Snapshot "${line.value.name}@${shortId(found.value.id)}" was removed for good`,
      });
    });
  }
}

/** True of a driver's refusal to remove a layer that others are made from. */
export function isNeeded(thrown: unknown): boolean {
  return (
    thrown instanceof Failure &&
    thrown.code === "failed_precondition" &&
    thrown.detail?.["child"] !== undefined
  );
}

function trashedAt({ snapshot: { value } }: TrashedSnapshot): number {
  return value.status.state === "trashed" ? value.status.trashedAt : 0;
}
