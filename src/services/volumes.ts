import { Failure } from "../core/failure.ts";
import type { VolumeName } from "../core/name.ts";
import type { Clock } from "../core/ports/clock.ts";
import { mergeSchedule } from "../core/schedule/schedule.ts";
import { mergeLabels, type VolumeOptions } from "../core/volume/options.ts";
import type { Volume } from "../core/volume/volume.ts";
import type { EventLog } from "./event-log.ts";
import { type Families, NOTHING_RENAMED } from "./families.ts";
import type { KeyedQueue } from "./keyed-queue.ts";
import type { Mounts } from "./mounts.ts";
import { freeName, putVolume, type Recorded, type Records } from "./records.ts";
import type { Trash } from "./trash.ts";
import type { VolumeMaking } from "./volume-making.ts";
import type { CreateContext, RemoveOptions, VolumeChange } from "./volume-requests.ts";
import { ensureRevision, ensureUnprotected } from "./volume-rules.ts";

/** What {@link Volumes} works with. */
interface VolumesParts {
  readonly records: Records;
  readonly making: VolumeMaking;
  readonly mounts: Mounts;
  readonly trash: Trash;
  readonly families: Families;
  readonly events: EventLog;
  readonly queue: KeyedQueue;
  /** How long a removed volume stays in the trash, in milliseconds; 0: not at all, null: until emptied. */
  readonly trashKeepMs: number | null;
  readonly clock: Clock;
}

/** The volumes of this node by name: made, found, changed, and put into the trash. */
export class Volumes {
  readonly #parts: VolumesParts;

  constructor(parts: VolumesParts) {
    this.#parts = parts;
  }

  /**
   * The volume of this name, or undefined. From the store alone. It is ready, but for one whose creation a crash cut off
   * after it may have been acknowledged: that is `creating` until its pool is up.
   */
  async find(name: VolumeName): Promise<Recorded<Volume> | undefined> {
    const found = await this.#parts.records.findVolumeByName(name);
    return found !== undefined && this.#parts.making.isThere(found.value) ? found : undefined;
  }

  /** @throws {Failure} `not_found`. */
  async get(name: VolumeName): Promise<Recorded<Volume>> {
    const found = await this.find(name);
    if (found === undefined) {
      throw new Failure("not_found", `Cannot find volume "${name}": it does not exist`);
    }
    return found;
  }

  /**
   * Does `work` with a ready volume, while nobody removes or renames it.
   *
   * @throws {Failure} `not_found`; what `work` throws.
   */
  use<T>(name: VolumeName, work: (volume: Volume) => Promise<T>): Promise<T> {
    const { signal } = new AbortController();
    return this.#parts.queue.run(name, async () => work((await this.#getMade(name, signal)).value));
  }

  /** Every volume that {@link find} finds, by name. Answered from the store alone. */
  async list(): Promise<readonly Recorded<Volume>[]> {
    const { records, making } = this.#parts;
    const ready = await records.listReadyVolumes();
    const more = await making.listInherited();
    if (more.length === 0) return ready;
    return [...ready, ...more].sort((a, b) => (a.value.name < b.value.name ? -1 : 1));
  }

  /**
   * Makes a volume. One of the same name and the same options is success.
   *
   * @throws {Failure} `already_exists` naming the differences; `failed_precondition` when the pool cannot hold a
   * size limit, naming those that can; `not_found` for an unknown pool or profile, or what it should start from;
   * `unavailable` for a faulted pool; what the driver says.
   */
  create(
    name: VolumeName,
    options: VolumeOptions,
    signal: AbortSignal,
    context: CreateContext = {},
  ): Promise<Recorded<Volume>> {
    return this.#parts.making.create(name, options, context, signal);
  }

  /**
   * Changes labels, protection, schedule or name.
   *
   * @param ifRevision Change only if the record is still of this revision.
   * @throws {Failure} `not_found`; `aborted` when the revision is another; `invalid_argument` for labels that
   * cannot be, and for what to keep of no schedule; for a new name: `already_exists` when it
   * is taken, `failed_precondition` when the volume is in use (engines know volumes by name).
   */
  update(
    name: VolumeName,
    change: VolumeChange,
    signal: AbortSignal,
    ifRevision?: number,
  ): Promise<Recorded<Volume>> {
    return this.#parts.queue.run(name, async () => {
      const found = await this.#getMade(name, signal);
      ensureRevision(found, ifRevision);
      const { records, events, clock } = this.#parts;
      const renamed = change.name !== undefined && change.name !== name;
      const { protect, author = "unknown" } = change;
      const protection = found.value.protection ?? { by: author, at: clock.now() };
      const volume: Volume = {
        ...found.value,
        name: change.name ?? name,
        labels: mergeLabels(found.value.labels, change.labels ?? {}),
        protection: protect === undefined ? found.value.protection : protect ? protection : null,
        schedule: mergeSchedule(found.value.schedule ?? null, change.schedule ?? {}),
      };
      const names = renamed
        ? await this.#parts.families.planRename(found.value, volume.name, signal)
        : NOTHING_RENAMED;
      for (const free of names.free) await this.#ensureFree(free);
      const revision = await records.write([putVolume(volume), ...names.writes], {
        unchanged: [found, ...names.unchanged],
        free: names.free,
      });
      events.emit({
        type: renamed ? "volume.renamed" : "volume.changed",
        level: "info",
        subject: volume.name,
        message: renamed
          ? `Volume "${name}" is now "${volume.name}"`
          : `Volume "${name}" was changed`,
      });
      return { value: volume, revision };
    });
  }

  /**
   * Puts a volume into the trash, where it keeps its bytes until it expires; its name is free at once. With the
   * trash turned off it is removed for good before this resolves.
   *
   * @throws {Failure} `not_found`; `aborted` when the revision is another; `failed_precondition` when it is
   * protected or in use, naming what to do.
   */
  remove(name: VolumeName, options: RemoveOptions, signal: AbortSignal): Promise<Recorded<Volume>> {
    return this.#parts.queue.run(name, async () => {
      const found = await this.#getMade(name, signal);
      ensureRevision(found, options.ifRevision);
      ensureUnprotected(found.value);
      await this.#parts.families.ensureNoBranches(found.value);
      const { mounts, clock, trashKeepMs, records, events } = this.#parts;
      await mounts.ensureUnused(found.value, "remove", options, signal);
      const trashedAt = clock.now();
      const expiresAt = trashKeepMs === null ? null : trashedAt + trashKeepMs;
      const volume: Volume = { ...found.value, status: { state: "trashed", trashedAt, expiresAt } };
      const revision = await records.write([putVolume(volume), freeName(name)], {
        unchanged: [found],
      });
      if (trashKeepMs === 0) {
        await this.#parts.trash.purge(volume.id, signal);
        return { value: volume, revision };
      }
      events.emit({
        ...{ type: "volume.trashed", level: "info", subject: name },
        message: `Volume "${name}" is in the trash; to get it back: lagan trash restore ${volume.id}`,
      });
      return { value: volume, revision };
    });
  }

  /** In the lane of `name`: what {@link get} gives, and made when its making was cut off. */
  async #getMade(name: VolumeName, signal: AbortSignal): Promise<Recorded<Volume>> {
    const found = await this.get(name);
    if (found.value.status.state === "ready") return found;
    return this.#parts.making.carryOn(found.value, signal);
  }

  async #ensureFree(name: VolumeName): Promise<void> {
    if ((await this.#parts.records.findVolumeByName(name)) === undefined) return;
    throw new Failure("already_exists", `Cannot use the name "${name}": a volume has it already`);
  }
}
