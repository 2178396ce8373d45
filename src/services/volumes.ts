import { Failure } from "../core/failure.ts";
import type { Snapshot } from "../core/history/snapshot.ts";
import { type LayerId, newId, type VolumeId } from "../core/id.ts";
import type { PoolName, VolumeName } from "../core/name.ts";
import type { VolumeOperation } from "../core/operation/operation.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import type { Random } from "../core/ports/random.ts";
import { mergeSchedule } from "../core/schedule/schedule.ts";
import { mergeLabels, type VolumeOptions } from "../core/volume/options.ts";
import { listDifferences, type Origin, planVolume } from "../core/volume/spec.ts";
import type { Volume } from "../core/volume/volume.ts";
import type { EventLog } from "./event-log.ts";
import { type Families, NOTHING_RENAMED } from "./families.ts";
import type { ImageSeeds, Seed } from "./image-seeds.ts";
import { prepareVolume, writtenIntent } from "./intent.ts";
import type { KeyedQueue } from "./keyed-queue.ts";
import type { Mounts } from "./mounts.ts";
import type { Operations } from "./operations.ts";
import type { Origins } from "./origins.ts";
import type { Pools } from "./pools.ts";
import type { Profiles } from "./profiles.ts";
import {
  claimName,
  freeName,
  putOperation,
  putVolume,
  type Recorded,
  type Records,
} from "./records.ts";
import type { Trash } from "./trash.ts";
import type { Work } from "./underway.ts";
import type { Content, CreateContext, RemoveOptions, VolumeChange } from "./volume-requests.ts";
import {
  ensurePoolCan,
  ensureRevision,
  ensureUnprotected,
  exists,
  tooSmallFor,
} from "./volume-rules.ts";

/** What {@link Volumes} works with. */
interface VolumesParts {
  readonly records: Records;
  readonly operations: Operations;
  readonly pools: Pools;
  readonly mounts: Mounts;
  readonly trash: Trash;
  readonly origins: Origins;
  readonly seeds: ImageSeeds;
  readonly families: Families;
  readonly events: EventLog;
  readonly queue: KeyedQueue;
  readonly profiles: Profiles;
  readonly defaultPool: PoolName;
  /** How long a removed volume stays in the trash, in milliseconds; 0: not at all, null: until emptied. */
  readonly trashKeepMs: number | null;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** The volumes of this node by name: made, found, changed, and put into the trash. */
export class Volumes {
  readonly #parts: VolumesParts;

  constructor(parts: VolumesParts) {
    this.#parts = parts;
  }

  /** The ready volume of this name, or undefined. From the store alone. */
  async find(name: VolumeName): Promise<Recorded<Volume> | undefined> {
    const found = await this.#parts.records.findVolumeByName(name);
    return found?.value.status.state === "ready" ? found : undefined;
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
    return this.#parts.queue.run(name, async () => work((await this.get(name)).value));
  }

  /** Every ready volume, by name. Answered from the store alone. */
  list(): Promise<readonly Recorded<Volume>[]> {
    return this.#parts.records.listReadyVolumes();
  }

  /**
   * Makes a volume. One of the same name and the same options is success.
   *
   * @throws {Failure} `already_exists` naming the differences; `failed_precondition` when the pool cannot hold a
   * size limit, naming those that can; `not_found` for an unknown pool or profile, or what it should start from;
   * `unavailable` for a faulted pool; what the driver says.
   */
  async create(
    name: VolumeName,
    options: VolumeOptions,
    signal: AbortSignal,
    context: CreateContext = {},
  ): Promise<Recorded<Volume>> {
    const { from, fromImage: image, fromImagePath: path = "" } = options;
    if (image !== undefined && (await this.find(name)) === undefined) {
      const make = (seed: Seed) => this.#create(name, options, context, undefined, signal, seed);
      return this.#parts.seeds.use({ image, path }, make, signal);
    }
    const { author = "unknown" } = context;
    if (from === undefined) return this.#create(name, options, context, undefined, signal);
    const create = (origin: Origin) => this.#create(name, options, context, origin, signal);
    return this.#parts.origins.around(name, from, author, create, signal);
  }

  #create(
    name: VolumeName,
    options: VolumeOptions,
    { branch, author = "unknown", fill }: CreateContext,
    origin: Origin | undefined,
    signal: AbortSignal,
    seed?: Seed,
  ): Promise<Recorded<Volume>> {
    const { profiles, defaultPool, queue, clock } = this.#parts;
    return queue.run(name, async () => {
      const found = await this.#parts.records.findVolumeByName(name);
      const known = await profiles.tableFor(options, found?.value);
      const plan = planVolume(options, known, defaultPool, origin, seed);
      if (found !== undefined) {
        const differences = listDifferences(found.value, plan.spec);
        if (differences.length > 0) throw exists(name, differences);
        if (found.value.status.state === "ready") return found;
        return this.#resume(found.value, signal);
      }
      ensurePoolCan(name, plan.spec, this.#parts.pools);
      const volume: Volume = {
        id: newId<VolumeId>(clock, this.#parts.random),
        name,
        spec: plan.spec,
        labels: plan.labels,
        protection: plan.protect ? { by: author, at: clock.now() } : null,
        branch: branch ?? null,
        tip: plan.spec.from,
        head: newId<LayerId>(clock, this.#parts.random),
        createdAt: clock.now(),
        schedule: plan.schedule,
        status: { state: "creating" },
      };
      return this.#make(volume, origin?.snapshot ?? null, { fill, seed }, signal);
    });
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
      const found = await this.get(name);
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
      const found = await this.get(name);
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

  /** Carries on a creation that was cut off. @throws {Failure} as {@link create}. */
  async resumeCreate(operation: VolumeOperation, signal: AbortSignal): Promise<void> {
    // A long import must not hold up whoever looks after what was cut off.
    if (this.#parts.operations.underway.has(operation.id)) return;
    await this.#parts.queue.run(operation.target, async () => {
      // Read in here: the request that began it may have been taking it back while this waited.
      const found = await this.#parts.records.findVolume(operation.volume);
      if (found?.value.status.state !== "creating") return;
      const imported = operation.verb === "volume.import";
      const origin = imported ? undefined : await this.#parts.origins.find(found.value);
      if (origin === undefined) {
        const why = imported
          ? "what it was filled from was cut off"
          : "the snapshot that it starts from is gone";
        const failure = new Failure("aborted", why);
        await this.#undo(found, operation, failure, signal);
      } else await this.#resumed(found, origin, operation, signal);
    });
  }

  async #resume(volume: Volume, signal: AbortSignal): Promise<Recorded<Volume>> {
    const running = (await this.#parts.operations.listOf(volume.id)).find(
      ({ status }) => status.state === "running",
    );
    const found = await this.#parts.records.findVolume(volume.id);
    if (running === undefined || found?.value.status.state !== "creating") {
      throw new Failure(
        "aborted",
        `Cannot create volume "${volume.name}": it just changed; try again`,
      );
    }
    const imported = running.verb === "volume.import";
    const origin = imported ? undefined : await this.#parts.origins.find(found.value);
    if (origin === undefined) {
      throw new Failure(
        "aborted",
        `Cannot create volume "${volume.name}": what it starts from is gone`,
      );
    }
    return this.#resumed(found, origin, running, signal);
  }

  /** As {@link #finish}, of a creation that was cut off; it stays begun unless somebody cancels it. */
  #resumed(
    begun: Recorded<Volume>,
    origin: Snapshot | null,
    operation: VolumeOperation,
    signal: AbortSignal,
  ): Promise<Recorded<Volume>> {
    const { operations, pools } = this.#parts;
    return operations.underway.run(operation, signal, async (work) => {
      try {
        const made = prepareVolume(pools.get(begun.value.spec.pool), begun.value, origin, work);
        return await this.#finish(begun, made, operation, work);
      } catch (thrown) {
        const failure = Failure.from(thrown);
        if (failure.code === "cancelled") await this.#undo(begun, operation, failure, signal);
        throw thrown;
      }
    });
  }

  async #make(
    volume: Volume,
    origin: Snapshot | null,
    content: Content,
    signal: AbortSignal,
  ): Promise<Recorded<Volume>> {
    const { records, operations, origins, pools } = this.#parts;
    const isOurs = content.fill === undefined && content.seed === undefined;
    const verb = isOurs ? "volume.create" : "volume.import";
    const operation = operations.begin(verb, volume);
    const recorded = records.write(
      [
        ...[putVolume(volume), claimName(volume.name, volume.id), putOperation(operation)],
        ...origins.used(origin),
      ],
      { free: [volume.name] },
    );
    return operations.underway.run(operation, signal, async (work) => {
      const { seed } = content;
      const made =
        seed === undefined
          ? prepareVolume(pools.get(volume.spec.pool), volume, origin, work, recorded)
          : recorded.then(() => seed.plant(volume, work));
      const begun = { value: volume, revision: await writtenIntent(recorded, made) };
      try {
        return await this.#finish(begun, made, operation, work, content);
      } catch (thrown) {
        await this.#undo(begun, operation, Failure.from(thrown), signal).catch((cause: unknown) => {
          const { name } = volume;
          this.#parts.log.warn("failed creation not taken back yet", { volume: name, cause });
        });
        throw tooSmallFor(volume, thrown);
      }
    });
  }

  /** The steps after the intent is written. Each can be done again. */
  async #finish(
    begun: Recorded<Volume>,
    made: Promise<void>,
    operation: VolumeOperation,
    { signal }: Work,
    { fill }: Content = {},
  ): Promise<Recorded<Volume>> {
    const { records, operations, events } = this.#parts;
    const { value: volume } = begun;
    await made;
    await fill?.(volume, signal);
    const ready: Volume = { ...volume, status: { state: "ready" } };
    const revision = await records.write(
      [putVolume(ready), putOperation(operations.done(operation))],
      { unchanged: [begun] },
    );
    events.emit({
      ...{ type: "volume.created", level: "info", subject: volume.name },
      message: `Volume "${volume.name}" was created in pool "${volume.spec.pool}"`,
    });
    return { value: ready, revision };
  }

  /**
   * Takes a creation back: from here it is a removal, which a restart carries on. When the creation turns out to have
   * happened after all (a write whose outcome was not known), it stays.
   */
  async #undo(
    { value: volume, revision }: Recorded<Volume>,
    operation: VolumeOperation,
    failure: Failure,
    signal: AbortSignal,
  ): Promise<void> {
    const { records, operations, trash } = this.#parts;
    const removing: Volume = { ...volume, status: { state: "removing" } };
    const purge = operations.begin("volume.purge", removing);
    await records.write(
      [
        putVolume(removing),
        freeName(volume.name),
        putOperation(operations.failed(operation, failure)),
        putOperation(purge),
      ],
      { unchanged: [{ value: volume, revision }] },
    );
    await trash.resumePurge(purge, signal);
  }

  async #ensureFree(name: VolumeName): Promise<void> {
    if ((await this.#parts.records.findVolumeByName(name)) === undefined) return;
    throw new Failure("already_exists", `Cannot use the name "${name}": a volume has it already`);
  }
}
