import { Failure } from "../core/failure.ts";
import type { Ref } from "../core/history/ref.ts";
import {
  type PointName,
  type Snapshot,
  type SnapshotCause,
  shortId,
} from "../core/history/snapshot.ts";
import type { VolumeName } from "../core/name.ts";
import type { QuietHow } from "../core/quiet/plan-quiet.ts";
import { formatMinute } from "../core/time.ts";
import { mergeLabels } from "../core/volume/options.ts";
import type { Labels, Volume } from "../core/volume/volume.ts";
import { rootOf } from "./history.ts";
import type { Pools } from "./pools.ts";
import type { Quiet } from "./quiet.ts";
import { putSnapshot, type Recorded } from "./records.ts";
import type { SnapshotMaking, SnapshotMakingParts } from "./snapshot-making.ts";

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
  /** Between the first instant that was kept and the last, in milliseconds, at most; 0: they are of one. */
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
interface SnapshotsParts extends SnapshotMakingParts {
  readonly making: SnapshotMaking;
  readonly quiet: Quiet;
}

/** The history of volumes: points of it are taken, found, changed and put into the trash. */
export class Snapshots {
  readonly #parts: SnapshotsParts;
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
    const { quiet, history, making } = this.#parts;
    const { value: volume } = await history.line(line);
    const { name } = request;
    // Before any hook is run, or container paused, for nothing.
    if (request.quiet !== "stop") {
      const driver = this.#parts.pools.get(volume.spec.pool);
      await making.consistency(volume, driver, request, signal);
    }
    const options = { how: request.quiet, attempt: `snapshot volume "${line}"` };
    const work = () => making.take(line, request, signal);
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
    const { quiet, history, making, pools, clock } = this.#parts;
    const names = [...new Set(lines)];
    const volumes = await Promise.all(names.map(async (line) => (await history.line(line)).value));
    const options = { how: request.quiet, attempt: `snapshot group "${request.group}"` };
    const { result, containers, faults } = await quiet.around(
      volumes,
      options,
      async () => {
        const from = clock.monotonic();
        const settled = await making.takeAll(names, request, signal);
        const skewMs = isOne(pools, volumes) ? 0 : clock.monotonic() - from;
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

  /** Removes one for good that was taken for something that failed. */
  async forget(snapshot: Recorded<Snapshot>, signal: AbortSignal): Promise<void> {
    const { records, trash, log } = this.#parts;
    try {
      const line = await records.findVolume(snapshot.value.volume);
      if (line !== undefined) await trash.discard(line.value, snapshot, signal);
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
}

/** True when the driver of their pool keeps them at one instant. */
function isOne(pools: Pools, volumes: readonly Volume[]): boolean {
  const names = new Set(volumes.map(({ spec }) => spec.pool));
  const [name] = names;
  return names.size === 1 && name !== undefined && pools.get(name).traits.joinedSnapshots === true;
}
