import { Failure } from "../core/failure.ts";
import type { Snapshot } from "../core/history/snapshot.ts";
import { type LayerId, newId, type VolumeId } from "../core/id.ts";
import type { PoolName, VolumeName } from "../core/name.ts";
import type { VolumeOperation } from "../core/operation/operation.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import type { Random } from "../core/ports/random.ts";
import type { VolumeOptions } from "../core/volume/options.ts";
import { listDifferences, planVolume, type VolumePlan } from "../core/volume/spec.ts";
import type { Volume } from "../core/volume/volume.ts";
import type { EventLog } from "./event-log.ts";
import type { ImageSeeds, Seed } from "./image-seeds.ts";
import { prepareVolume, writtenIntent } from "./intent.ts";
import type { KeyedQueue } from "./keyed-queue.ts";
import type { Operations } from "./operations.ts";
import type { Making, Origins, Shown } from "./origins.ts";
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
import type { Content, CreateContext } from "./volume-requests.ts";
import { ensurePoolCan, exists, tooSmallFor } from "./volume-rules.ts";

/** What {@link VolumeMaking} works with. */
interface VolumeMakingParts {
  readonly records: Records;
  readonly operations: Operations;
  readonly pools: Pools;
  readonly trash: Trash;
  readonly origins: Origins;
  readonly seeds: ImageSeeds;
  readonly events: EventLog;
  readonly queue: KeyedQueue;
  readonly profiles: Profiles;
  readonly defaultPool: PoolName;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** How volumes come to be: the record of the intent, the layer, the record that shows it. */
export class VolumeMaking {
  readonly #parts: VolumeMakingParts;
  /** Creations that an earlier daemon has begun, and may have acknowledged. */
  readonly #inherited = new Set<VolumeId>();

  constructor(parts: VolumeMakingParts) {
    this.#parts = parts;
  }

  /** Looks for what an earlier daemon left, before anything is begun. */
  async inherit(): Promise<void> {
    for (const { verb, volume, status } of await this.#parts.operations.list()) {
      if (verb !== "volume.create" || volume === null || status.state !== "running") continue;
      this.#inherited.add(volume);
    }
  }

  /**
   * True of a volume that may have been acknowledged: it is ready, or its creation by an earlier daemon goes on as soon as
   * its pool is up. What is filled is acknowledged only when nothing can take it any more.
   */
  isThere({ id, status }: Volume): boolean {
    return status.state === "ready" || (status.state === "creating" && this.#inherited.has(id));
  }

  /** Those that are there and not ready yet. */
  async listInherited(): Promise<readonly Recorded<Volume>[]> {
    if (this.#inherited.size === 0) return [];
    const all = await this.#parts.records.listVolumes();
    return all.filter(({ value }) => value.status.state !== "ready" && this.isThere(value));
  }

  /** @throws {Failure} as {@link Volumes.create}. */
  async create(
    name: VolumeName,
    options: VolumeOptions,
    context: CreateContext,
    signal: AbortSignal,
  ): Promise<Recorded<Volume>> {
    const { fromImage: image, fromImagePath: path = "" } = options;
    if (image !== undefined && !(await this.#isThere(name))) {
      const make = (seed: Seed) => this.#create(name, options, context, signal, seed);
      return this.#parts.seeds.use({ image, path }, make, signal);
    }
    return this.#create(name, options, context, signal);
  }

  #create(
    name: VolumeName,
    options: VolumeOptions,
    context: CreateContext,
    signal: AbortSignal,
    seed?: Seed,
  ): Promise<Recorded<Volume>> {
    const { profiles, defaultPool, queue, origins, pools } = this.#parts;
    const { from } = options;
    return queue.run(name, async () => {
      const found = await this.#parts.records.findVolumeByName(name);
      const known = await profiles.tableFor(options, found?.value);
      const origin = from && (await origins.get(from, found?.value));
      const plan = planVolume(options, known, defaultPool, origin, seed);
      if (found !== undefined) {
        const differences = listDifferences(found.value, plan.spec);
        if (differences.length > 0) throw exists(name, differences);
        if (found.value.status.state === "ready") return found;
        return this.carryOn(found.value, signal);
      }
      ensurePoolCan(name, plan.spec, pools);
      const { fill, author = "unknown" } = context;
      const make = (snapshot: Snapshot | null, shown?: Shown): Making<Recorded<Volume>> => {
        const spec = { ...plan.spec, from: snapshot?.id ?? null };
        const volume = this.#draft(name, { ...plan, spec }, context, author);
        return this.#make(volume, snapshot, { fill, seed, shown }, signal);
      };
      if (origin === undefined) return make(null).ready;
      return origins.use(origin, { message: `for ${name}`, author }, make, signal);
    });
  }

  #draft(
    name: VolumeName,
    { spec, labels, protect, schedule }: VolumePlan,
    { branch }: CreateContext,
    author: string,
  ): Volume {
    const { clock, random } = this.#parts;
    return {
      id: newId<VolumeId>(clock, random),
      ...{ name, spec, labels, schedule },
      protection: protect ? { by: author, at: clock.now() } : null,
      branch: branch ?? null,
      tip: spec.from,
      head: newId<LayerId>(clock, random),
      createdAt: clock.now(),
      status: { state: "creating" },
    };
  }

  /** Carries on a creation that was cut off. @throws {Failure} as {@link create}. */
  async resume(operation: VolumeOperation, signal: AbortSignal): Promise<void> {
    // A long import must not hold up whoever looks after what was cut off.
    if (this.#parts.operations.underway.has(operation.id)) return;
    await this.#parts.queue.run(operation.target, async () => {
      // Read in here: the request that began it may have been taking it back while this waited.
      const found = await this.#parts.records.findVolume(operation.volume);
      if (found?.value.status.state !== "creating") return;
      if (await this.#isMade(found.value, operation, signal)) {
        await this.#finish(found, Promise.resolve(), operation, signal);
        return;
      }
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

  /**
   * The same for a volume that is needed now; called in the lane of its name.
   *
   * @throws {Failure} as {@link create}; `unavailable` while its pool is not up.
   */
  async carryOn(volume: Volume, signal: AbortSignal): Promise<Recorded<Volume>> {
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
    if (await this.#isMade(found.value, running, signal)) {
      return this.#finish(found, Promise.resolve(), running, signal);
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

  /** Then it may have been acknowledged, and even been written to: whatever comes, it is not taken back. */
  async #isMade(
    { head, spec }: Volume,
    { verb }: VolumeOperation,
    signal: AbortSignal,
  ): Promise<boolean> {
    if (verb !== "volume.create") return false;
    const layers = await this.#parts.pools.get(spec.pool).list(signal);
    return layers.some(({ id }) => id === head);
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
        return await this.#finish(begun, made, operation, work.signal);
      } catch (thrown) {
        const failure = Failure.from(thrown);
        if (failure.code === "cancelled") await this.#undo(begun, operation, failure, signal);
        throw thrown;
      }
    });
  }

  #make(
    volume: Volume,
    origin: Snapshot | null,
    content: Content & { readonly shown?: Shown | undefined },
    signal: AbortSignal,
  ): Making<Recorded<Volume>> {
    const { records, operations, pools } = this.#parts;
    const { seed, shown } = content;
    const isOurs = content.fill === undefined && seed === undefined;
    const operation = operations.begin(isOurs ? "volume.create" : "volume.import", volume);
    const recorded = records.write(
      [
        ...[putVolume(volume), claimName(volume.name, volume.id), putOperation(operation)],
        ...(shown?.writes ?? []),
      ],
      { ...shown?.when, free: [volume.name] },
    );
    const ready = operations.underway.run(operation, signal, async (work) => {
      const made =
        seed === undefined
          ? prepareVolume(pools.get(volume.spec.pool), volume, origin, work, recorded)
          : recorded.then(() => seed.plant(volume, work));
      const begun = { value: volume, revision: await writtenIntent(recorded, made) };
      try {
        return await this.#finish(begun, made, operation, work.signal, content);
      } catch (thrown) {
        await this.#undo(begun, operation, Failure.from(thrown), signal).catch((cause: unknown) => {
          const { name } = volume;
          this.#parts.log.warn("failed creation not taken back yet", { volume: name, cause });
        });
        throw tooSmallFor(volume, thrown);
      }
    });
    return { recorded, ready };
  }

  /** The steps after the intent is written. Each can be done again. */
  async #finish(
    begun: Recorded<Volume>,
    made: Promise<void>,
    operation: VolumeOperation,
    signal: AbortSignal,
    { fill }: Content = {},
  ): Promise<Recorded<Volume>> {
    const { records, operations, events } = this.#parts;
    const { value: volume } = begun;
    await made;
    await fill?.(volume, signal);
    const ready: Volume = { ...volume, status: { state: "ready" } };
    const revision = await records.write(
      [putVolume(ready), putOperation(operations.done(operation))],
      // What it was filled from is not there to fill it again.
      { unchanged: [begun], durable: operation.verb === "volume.create" ? "soon" : "now" },
    );
    this.#inherited.delete(volume.id);
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

  async #isThere(name: VolumeName): Promise<boolean> {
    const found = await this.#parts.records.findVolumeByName(name);
    return found?.value.status.state === "ready";
  }
}
