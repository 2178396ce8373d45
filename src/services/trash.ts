import { Failure } from "../core/failure.ts";
import { lineName } from "../core/history/ref.ts";
import type { VolumeId } from "../core/id.ts";
import type { VolumeName } from "../core/name.ts";
import type { VolumeOperation } from "../core/operation/operation.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import type { Volume } from "../core/volume/volume.ts";
import type { EventLog } from "./event-log.ts";
import type { KeyedQueue } from "./keyed-queue.ts";
import type { Mounts } from "./mounts.ts";
import type { Operations } from "./operations.ts";
import type { Pools } from "./pools.ts";
import {
  claimName,
  dropSnapshot,
  dropVolume,
  putOperation,
  putVolume,
  type Recorded,
  type Records,
} from "./records.ts";
import { isNeeded } from "./snapshot-trash.ts";

/** How many records one transaction drops. */
const DROPS_A_TXN = 100;

/** What {@link Trash} works with. */
interface TrashParts {
  readonly mounts: Mounts;
  readonly records: Records;
  readonly operations: Operations;
  readonly pools: Pools;
  readonly events: EventLog;
  readonly queue: KeyedQueue;
  readonly clock: Clock;
  readonly log: Log;
}

/** Removed volumes: kept whole until they expire or the trash is emptied. */
export class Trash {
  readonly #parts: TrashParts;

  constructor(parts: TrashParts) {
    this.#parts = parts;
  }

  /** Trashed volumes, the one removed last first. */
  async list(): Promise<readonly Recorded<Volume>[]> {
    const all = await this.#parts.records.listVolumes();
    return all
      .filter(({ value }) => value.status.state === "trashed")
      .sort((a, b) => trashedAt(b.value) - trashedAt(a.value));
  }

  /**
   * The trashed volume that `text` names: a whole id, the beginning of one, or the name of the volume removed last.
   *
   * @throws {Failure} `not_found`; `invalid_argument` when the beginning of an id fits several.
   */
  async get(text: string): Promise<Recorded<Volume>> {
    const all = await this.list();
    const byName = all.find(({ value }) => value.name === text);
    const byId = text.length >= 4 ? all.filter(({ value }) => value.id.startsWith(text)) : [];
    if (byName === undefined && byId.length > 1) {
      const ids = byId.map(({ value }) => value.id).join(", ");
      throw new Failure("invalid_argument", `Cannot tell which volume "${text}" means: ${ids}`);
    }
    const found = byName ?? byId[0];
    if (found === undefined) {
      throw new Failure(
        "not_found",
        `Cannot find "${text}" in the trash; to see what is in it: lagan trash ls`,
      );
    }
    return found;
  }

  /**
   * Takes a volume out of the trash, under its old name or another.
   *
   * A branch comes back to its volume, whatever that is called by now; under another name it is a volume of its own.
   *
   * @throws {Failure} `not_found`; `already_exists` when the name is taken, `failed_precondition` when a branch's volume
   * is not there: give another.
   */
  async restore(text: string, as: VolumeName | undefined): Promise<Recorded<Volume>> {
    const { value } = await this.get(text);
    const name = as ?? (await this.#nameOf(value));
    return this.#parts.queue.run(name, async () => {
      const found = await this.#trashed(value.id);
      const { records, events } = this.#parts;
      if ((await records.findVolumeByName(name)) !== undefined) {
        throw new Failure(
          "already_exists",
          `Cannot restore volume "${value.name}" as "${name}": a volume has that name; give another: lagan trash restore ${value.id} --name NAME`,
        );
      }
      const branch = as === undefined ? found.value.branch : null;
      const volume: Volume = { ...found.value, name, branch, status: { state: "ready" } };
      const revision = await records.write([putVolume(volume), claimName(name, volume.id)], {
        unchanged: [found],
        free: [name],
      });
      events.emit({
        type: "volume.restored",
        level: "info",
        subject: name,
        message: `Volume "${name}" is back from the trash`,
      });
      return { value: volume, revision };
    });
  }

  async #nameOf({ id, name, branch }: Volume): Promise<VolumeName> {
    if (branch === null) return name;
    const root = await this.#parts.records.findVolume(branch.of);
    if (root?.value.status.state === "ready") return lineName(root.value.name, branch.name);
    throw new Failure(
      "failed_precondition",
      `Cannot restore branch "${name}": its volume is not there; restore that first, or make a volume of its own of it: lagan trash restore ${id} --name NAME`,
    );
  }

  /** Removes one trashed volume for good. @throws {Failure} `not_found`, or what the driver says; it can be tried again. */
  async purge(id: VolumeId, signal: AbortSignal): Promise<void> {
    const found = await this.#trashed(id);
    const { records, operations } = this.#parts;
    const removing: Volume = { ...found.value, status: { state: "removing" } };
    const operation = operations.begin("volume.purge", removing);
    await records.write([putVolume(removing), putOperation(operation)], { unchanged: [found] });
    await this.resumePurge(operation, signal).catch((thrown: unknown) => {
      // It is hidden; housekeeping removes it when what was made from its snapshots is gone.
      if (!isNeeded(thrown)) throw thrown;
    });
  }

  /** Purges everything, one after the other. One that fails stays, with what was thrown, and keeps none of the others. */
  async empty(signal: AbortSignal): Promise<{
    readonly removed: readonly Volume[];
    readonly failed: readonly { readonly volume: Volume; readonly failure: Failure }[];
  }> {
    const removed: Volume[] = [];
    const failed: { volume: Volume; failure: Failure }[] = [];
    for (const { value: volume } of await this.list()) {
      try {
        await this.purge(volume.id, signal);
        removed.push(volume);
      } catch (thrown) {
        const failure = Failure.from(thrown);
        // Restored or removed by somebody else meanwhile: it is no longer in the trash, as was asked.
        if (failure.code !== "not_found") failed.push({ volume, failure });
      }
    }
    return { removed, failed };
  }

  /** Purges what has expired. One that fails is logged and tried again; it never holds up the others. */
  async expire(signal: AbortSignal): Promise<void> {
    const now = this.#parts.clock.now();
    for (const { value } of await this.list()) {
      const { status } = value;
      if (status.state !== "trashed" || status.expiresAt === null || status.expiresAt > now)
        continue;
      await this.purge(value.id, signal).catch((thrown: unknown) => {
        this.#parts.log.warn("expired volume not removed", { volume: value.name, error: thrown });
      });
    }
  }

  /** Carries on a purge that was begun. */
  resumePurge(operation: VolumeOperation, signal: AbortSignal): Promise<void> {
    return this.#parts.queue.run(operation.volume, () => this.#finishPurge(operation, signal));
  }

  async #finishPurge(operation: VolumeOperation, signal: AbortSignal): Promise<void> {
    const { records, operations, pools, events } = this.#parts;
    const found = await records.findVolume(operation.volume);
    if (found?.value.status.state !== "removing") return;
    const { value: volume } = found;
    const driver = pools.get(volume.spec.pool);
    await this.#parts.mounts.release(volume);
    const cutOff = await this.#restoresOf(volume);
    const heads = cutOff.flatMap(({ about }) => [about.head ?? [], about.replaced ?? []].flat());
    for (const layer of new Set([volume.head, ...heads])) await driver.remove(layer, signal);
    // Newest first: a later one may be made from an earlier one.
    const snapshots = (await records.listSnapshots(volume.id)).toReversed();
    for (const { value } of snapshots) await driver.remove(value.layer, signal);
    for (let start = 0; start < snapshots.length; start += DROPS_A_TXN) {
      const some = snapshots.slice(start, start + DROPS_A_TXN);
      await records.write(some.map(({ value }) => dropSnapshot(value)));
    }
    const ended = [operation, ...cutOff].map((one) => putOperation(operations.done(one)));
    await records.write([dropVolume(volume.id), ...ended], {
      unchanged: [found],
      durable: "soon",
    });
    events.emit({
      type: "volume.removed",
      level: "info",
      subject: volume.name,
      message: `Volume "${volume.name}" (${volume.id}) was removed for good`,
    });
  }

  /** Restores of it that never ended. */
  async #restoresOf(volume: Volume): Promise<readonly VolumeOperation[]> {
    const { operations } = this.#parts;
    return (await operations.listOf(volume.id)).filter(
      ({ verb, status }) => verb === "volume.restore" && status.state === "running",
    );
  }

  async #trashed(id: VolumeId): Promise<Recorded<Volume>> {
    const found = await this.#parts.records.findVolume(id);
    if (found?.value.status.state !== "trashed") {
      throw new Failure("not_found", `Cannot find volume ${id} in the trash`);
    }
    return found;
  }
}

function trashedAt(volume: Volume): number {
  return volume.status.state === "trashed" ? volume.status.trashedAt : 0;
}
