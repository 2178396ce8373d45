import { Failure } from "../core/failure.ts";
import { formatRef, type Ref } from "../core/history/ref.ts";
import { type Snapshot, shortId } from "../core/history/snapshot.ts";
import { type LayerId, newId, type SnapshotId } from "../core/id.ts";
import type { VolumeName } from "../core/name.ts";
import type { VolumeOperation } from "../core/operation/operation.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import type { Random } from "../core/ports/random.ts";
import { formatBytes } from "../core/size.ts";
import { DEFAULT_MODE } from "../core/volume/spec.ts";
import type { Volume } from "../core/volume/volume.ts";
import type { EventLog } from "./event-log.ts";
import type { History } from "./history.ts";
import type { KeyedQueue } from "./keyed-queue.ts";
import type { Mounts } from "./mounts.ts";
import type { Operations } from "./operations.ts";
import type { Pools } from "./pools.ts";
import type { Quiet } from "./quiet.ts";
import {
  dropSnapshot,
  putOperation,
  putSnapshot,
  putVolume,
  type Recorded,
  type Records,
} from "./records.ts";
import type { Work } from "./underway.ts";
import { orStop, tooSmall } from "./volume-rules.ts";

/** How a restore is asked for. */
export interface RestoreRequest {
  readonly author: string;
  /** Stops the containers that use the volume, and starts them again after it. */
  readonly quiet?: "stop";
}

/** What a restore did. */
export interface Restored {
  readonly volume: Recorded<Volume>;
  /** What was replaced: restoring this undoes it. Not `ready` yet when committing it failed, which goes on by itself. */
  readonly kept: Snapshot;
  /** Names of the containers that were stopped and started again. */
  readonly containers: readonly string[];
  /** What could not be put back: sentences. */
  readonly faults: readonly string[];
}

type Replaced = Pick<Restored, "volume" | "kept">;

/** What {@link Restores} works with. */
interface RestoresParts {
  readonly quiet: Quiet;
  readonly records: Records;
  readonly operations: Operations;
  readonly pools: Pools;
  readonly mounts: Mounts;
  readonly history: History;
  readonly events: EventLog;
  readonly queue: KeyedQueue;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/*
 * A snapshot becomes the head again. The steps, each of which can be done again:
 *   a. the new head is made from the snapshot, beside the old one;
 *   b. one transaction makes it the volume's head;
 *   c. the old head is committed, and shown as the snapshot that keeps what was replaced.
 * Until b everything can be taken back, and is, also after a crash; from b on it is only carried on. The volume has a
 * whole head at any instant, and what was replaced is in the old head or in the snapshot, never in neither.
 */
export class Restores {
  readonly #parts: RestoresParts;

  constructor(parts: RestoresParts) {
    this.#parts = parts;
  }

  /**
   * @param line The volume or branch to restore; a branch can be given a snapshot of its volume.
   * @throws {Failure} `not_found`; `failed_precondition` while the volume is in use, naming by what, or when the
   * snapshot holds more than the volume's limit; what the driver says. Then nothing is changed.
   */
  async restore(
    line: VolumeName,
    ref: Ref,
    request: RestoreRequest,
    signal: AbortSignal,
  ): Promise<Restored> {
    const { quiet, history } = this.#parts;
    await history.get(ref);
    const work = () => this.#restore(line, ref, request, signal);
    if (request.quiet === undefined) return { ...(await work()), containers: [], faults: [] };
    const { value: volume } = await this.#get(line);
    const options = { how: request.quiet, attempt: `restore volume "${line}"` };
    const { result, containers, faults } = await quiet.around([volume], options, work, signal);
    return { ...result, containers, faults };
  }

  #restore(
    line: VolumeName,
    ref: Ref,
    request: RestoreRequest,
    signal: AbortSignal,
  ): Promise<Replaced> {
    const { queue, mounts, pools, history } = this.#parts;
    return queue.run(line, async () => {
      const { snapshot } = await history.get(ref);
      const volume = await this.#get(line);
      await mounts
        .ensureUnused(volume.value, "restore", { askEngines: false }, signal)
        .catch((thrown: unknown) => {
          const to = volume.value.name === ref.volume ? "" : ` --to ${volume.value.name}`;
          throw orStop(thrown, `lagan restore ${formatRef(ref)}${to} --stop`);
        });
      // A Mount that comes now waits for the queue; what an earlier one mounted for us goes first.
      await mounts.release(volume.value);
      pools.get(volume.value.spec.pool);
      return this.#begin(volume, snapshot, formatRef(ref), request, signal);
    });
  }

  /** Carries on, or takes back, a restore that was cut off. */
  resume(operation: VolumeOperation, signal: AbortSignal): Promise<void> {
    return this.#parts.queue.run(operation.target, async () => {
      const failure = new Failure("aborted", "the daemon was restarted meanwhile");
      await this.#settle(operation, failure, signal);
    });
  }

  async #begin(
    volume: Recorded<Volume>,
    snapshot: Recorded<Snapshot>,
    shown: string,
    { author }: RestoreRequest,
    signal: AbortSignal,
  ): Promise<Replaced> {
    const { records, operations, clock, random, log } = this.#parts;
    const kept: Snapshot = {
      id: newId<SnapshotId>(clock, random),
      volume: volume.value.id,
      layer: newId<LayerId>(clock, random),
      parent: volume.value.tip,
      name: null,
      message: `replaced by restoring ${shown}`,
      labels: {},
      author,
      createdAt: clock.now(),
      cause: "restore",
      consistency: "unused",
      group: null,
      protection: null,
      status: { state: "creating" },
    };
    const operation = operations.begin("volume.restore", volume.value, {
      snapshot: kept.id,
      restored: snapshot.value.id,
      head: newId<LayerId>(clock, random),
      replaced: volume.value.head,
    });
    const revision = await records.write([putSnapshot(kept), putOperation(operation)], {
      unchanged: [volume],
      unchangedSnapshots: [snapshot],
    });
    const begun = { value: kept, revision };
    return operations.underway.run(operation, signal, async (work) => {
      try {
        await this.#prepare(volume.value, snapshot.value, operation, work);
        return await this.#replace(volume, begun, operation);
      } catch (thrown) {
        // Whoever asked may have gone, which must not leave it half done.
        const { signal: goOn } = new AbortController();
        await this.#settle(operation, Failure.from(thrown), goOn).catch((cause: unknown) => {
          log.warn("failed restore not settled yet", { volume: volume.value.name, cause });
        });
        const { name, spec } = volume.value;
        throw tooSmall(
          thrown,
          (held) =>
            `Cannot restore volume "${name}" from ${shown}: that holds ${held}, more than the limit of ${formatBytes(spec.sizeBytes ?? 0)}; first: lagan volume resize ${name} SIZE`,
        );
      }
    });
  }

  async #prepare(
    volume: Volume,
    snapshot: Snapshot,
    operation: VolumeOperation,
    { signal, progress, expect }: Work,
  ): Promise<void> {
    const { pool, sizeBytes, uid, gid, mode } = volume.spec;
    const owner = { uid: uid ?? 0, gid: gid ?? 0, mode: mode ?? DEFAULT_MODE };
    const driver = this.#parts.pools.get(pool);
    expect(driver, snapshot.layer);
    const parent = snapshot.layer;
    await driver.prepare(headOf(operation), { parent, sizeBytes, owner, progress }, signal);
  }

  /** b, and c as far as it can be done now: from b on the restore has happened. */
  async #replace(
    volume: Recorded<Volume>,
    kept: Recorded<Snapshot>,
    operation: VolumeOperation,
  ): Promise<Replaced> {
    const { records, events, log } = this.#parts;
    const { name } = volume.value;
    const tip = operation.about.restored ?? null;
    const restored: Volume = { ...volume.value, head: headOf(operation), tip };
    const about = { ...operation.about, shown: true } as const;
    const revision = await records.write(
      [putVolume(restored), putSnapshot(kept.value), putOperation({ ...operation, about })],
      { unchanged: [volume], unchangedSnapshots: [kept] },
    );
    const undo = `lagan restore ${name}@${shortId(kept.value.id)}`;
    events.emit({
      type: "volume.reverted",
      level: "info",
      subject: name,
      message: `Volume "${name}" has the content of an earlier snapshot; to undo: ${undo}`,
    });
    const replaced = { volume: { value: restored, revision }, kept: kept.value };
    try {
      const { signal } = new AbortController();
      const shown = await this.#keep(restored, { value: kept.value, revision }, operation, signal);
      return { ...replaced, kept: shown };
    } catch (error) {
      log.warn("what a restore replaced is not a snapshot yet", { volume: name, error });
      return replaced;
    }
  }

  /** c. */
  async #keep(
    { spec }: Volume,
    kept: Recorded<Snapshot>,
    operation: VolumeOperation,
    signal: AbortSignal,
  ): Promise<Snapshot> {
    const { records, operations, pools } = this.#parts;
    const { replaced } = operation.about;
    if (replaced === undefined) throw new Failure("internal", "A restore names no old head");
    await pools.get(spec.pool).commit(replaced, kept.value.layer, signal);
    const shown: Snapshot = { ...kept.value, status: { state: "ready" } };
    await records.write([putSnapshot(shown), putOperation(operations.done(operation))], {
      unchangedSnapshots: [kept],
      durable: "soon",
    });
    return shown;
  }

  /** After a failure or a restart: carried on when the new head is the volume's, else taken back. */
  async #settle(operation: VolumeOperation, failure: Failure, signal: AbortSignal): Promise<void> {
    const { records, operations, pools } = this.#parts;
    const now = await operations.find(operation.id);
    if (now?.status.state !== "running") return;
    const { snapshot: keptId, shown } = now.about;
    const volume = await records.findVolume(operation.volume);
    // Gone for good: its removal takes along what this has made.
    if (volume === undefined) return;
    const kept = keptId && (await records.findSnapshot(operation.volume, keptId));
    // Not by the volume's head, which another restore may have replaced since.
    if (shown === true) {
      if (kept !== undefined) await this.#keep(volume.value, kept, operation, signal);
      return;
    }
    // First the record: a write of b whose answer was lost cannot come any more.
    if (kept !== undefined) {
      await records.write([dropSnapshot(kept.value)], { unchangedSnapshots: [kept] });
    }
    await pools.get(volume.value.spec.pool).remove(headOf(operation), signal);
    await records.write([putOperation(operations.failed(operation, failure))]);
  }

  async #get(name: VolumeName): Promise<Recorded<Volume>> {
    const found = await this.#parts.records.findVolumeByName(name);
    if (found?.value.status.state === "ready") return found;
    throw new Failure("not_found", `Cannot restore volume "${name}": it does not exist`);
  }
}

function headOf({ about }: VolumeOperation): LayerId {
  if (about.head !== undefined) return about.head;
  throw new Failure("internal", "A restore's operation names no head");
}
