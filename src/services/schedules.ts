import { Failure } from "../core/failure.ts";
import type { Snapshot } from "../core/history/snapshot.ts";
import type { VolumeId } from "../core/id.ts";
import type { VolumeName } from "../core/name.ts";
import type { Clock, UnixMs } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import { planRetention } from "../core/schedule/retention.ts";
import {
  CLOCK_TOLERANCE_MS,
  findLast,
  planNext,
  type Schedule,
} from "../core/schedule/schedule.ts";
import type { Volume } from "../core/volume/volume.ts";
import type { EventLog } from "./event-log.ts";
import type { Pools } from "./pools.ts";
import type { Recorded } from "./records.ts";
import type { Volumes } from "./volumes.ts";

/*
 * Snapshots by the clock. Invariants:
 * 1. What is due is computed from the records of the snapshots that are there, never from what this process
 *    remembers: a restart neither skips one nor takes one twice.
 * 2. What it remembers only saves work, or puts a snapshot off: while nothing has changed.
 * 3. A volume or a pool that fails or hangs keeps no other from its turn, and is tried again a minute later.
 * 4. Retention comes after a snapshot, never before: what is to replace another is there first.
 */

/** What schedules ask of the snapshots. */
export interface SnapshotsForSchedules {
  create(
    line: VolumeName,
    options: { readonly author: string; readonly cause: "scheduled" },
    signal: AbortSignal,
  ): Promise<unknown>;
  /** The ready ones of the line itself, in any order. */
  list(line: VolumeName): Promise<readonly Recorded<Snapshot>[]>;
  /** Removes one for good, without the trash: retention is there to free room. One that was changed meanwhile stays. */
  discard(line: Volume, snapshot: Recorded<Snapshot>, signal: AbortSignal): Promise<unknown>;
}

/** Where a volume's schedule stands. */
export interface ScheduleStatus {
  readonly schedule: Schedule;
  /** When the last scheduled snapshot was taken; null: there is none. */
  readonly lastAt: UnixMs | null;
  /** When the next one is due; in the past: at the next tick. */
  readonly nextAt: UnixMs;
  /** How many snapshots the schedule has taken that are still there. */
  readonly kept: number;
  /**
   * How much of the newest work is in no snapshot, in milliseconds, as a time: the age of the newest one of any kind, or of
   * when it was last seen that nothing had changed since. Null: there is no snapshot.
   */
  readonly lossWindowMs: number | null;
  /** Why the last attempt failed; null: it did not. */
  readonly failing: string | null;
}

/** Who a scheduled snapshot is by. */
export const SCHEDULE_AUTHOR = "schedule";
/** How many volumes of one pool a tick works on at once. */
export const SCHEDULE_CONCURRENCY = 4;
/**
 * Nothing has changed only when that was seen twice, so far apart, in milliseconds: what a process writes reaches a
 * file system's books within half a minute.
 */
export const UNCHANGED_AFTER_MS = 45_000;

/** What {@link Schedules} works with. */
interface SchedulesParts {
  readonly volumes: Volumes;
  readonly snapshots: SnapshotsForSchedules;
  readonly pools: Pools;
  readonly events: EventLog;
  readonly clock: Clock;
  readonly log: Log;
}

/** What is remembered of a volume between ticks. */
interface Remembered {
  /** Of this revision of its record. */
  readonly revision: number;
  /** Until then nothing is to be done; null: look. */
  quietUntil: UnixMs | null;
  /** When it was first seen, since it is due, that nothing has changed. */
  unchangedSince: UnixMs | null;
  /** When that was last certain. */
  skippedAt: UnixMs | null;
  failing: string | null;
}

/** Takes snapshots by their volumes' schedules, and removes those that are not to be kept. */
export class Schedules {
  readonly #parts: SchedulesParts;
  readonly #remembered = new Map<VolumeId, Remembered>();
  readonly #underWay = new Set<VolumeId>();
  #lastTickAt = Number.NEGATIVE_INFINITY;

  constructor(parts: SchedulesParts) {
    this.#parts = parts;
  }

  /** Does what is due, and resolves when that is done. A tick may come while another one is under way. */
  async tick(signal: AbortSignal): Promise<void> {
    const { volumes, clock } = this.#parts;
    const now = clock.now();
    // A clock that was set back: what was remembered is of a time that comes again.
    if (now < this.#lastTickAt) this.#forgetTimes();
    this.#lastTickAt = now;
    const all = (await volumes.list()).filter(({ value }) => scheduleOf(value) !== null);
    const known = new Set(all.map(({ value }) => value.id));
    for (const id of this.#remembered.keys()) if (!known.has(id)) this.#remembered.delete(id);
    const pools = new Set(all.map(({ value }) => value.spec.pool));
    const visits = [...pools].map((pool) =>
      this.#visitAll(
        all.filter(({ value }) => value.spec.pool === pool),
        signal,
      ),
    );
    await Promise.all(visits);
  }

  /** Where a volume's schedule stands; null: it has none. Answered from records. */
  async status(volume: Volume): Promise<ScheduleStatus | null> {
    const schedule = scheduleOf(volume);
    if (schedule === null) return null;
    const now = this.#parts.clock.now();
    const all = await this.#list(volume);
    const taken = all.filter(({ cause }) => cause === "scheduled").map((one) => one.createdAt);
    const lastAt = findLast(taken, now);
    const { skippedAt = null, failing = null } = this.#remembered.get(volume.id) ?? {};
    const newest = findLast(
      all.map((one) => one.createdAt),
      now,
    );
    const safeAt = newest === null ? null : Math.max(newest, skippedAt ?? newest);
    return {
      schedule,
      lastAt,
      nextAt: planNext(latest(lastAt, skippedAt), schedule.everyMs, now),
      kept: taken.length,
      lossWindowMs: safeAt === null ? null : Math.max(0, now - safeAt),
      failing,
    };
  }

  async #visitAll(volumes: readonly Recorded<Volume>[], signal: AbortSignal): Promise<void> {
    const next = volumes.values();
    const work = async (): Promise<void> => {
      for (const recorded of next) {
        if (signal.aborted) return;
        await this.#visit(recorded, signal);
      }
    };
    await Promise.all(Array.from({ length: SCHEDULE_CONCURRENCY }, work));
  }

  /** One volume's turn. Never throws. */
  async #visit({ value: volume, revision }: Recorded<Volume>, signal: AbortSignal): Promise<void> {
    const { id } = volume;
    const schedule = scheduleOf(volume);
    const remembered = this.#recall(id, revision);
    const { quietUntil } = remembered;
    if (schedule === null || this.#underWay.has(id)) return;
    if (quietUntil !== null && this.#parts.clock.now() < quietUntil) return;
    this.#underWay.add(id);
    try {
      await this.#takeIfDue(volume, schedule, remembered, signal);
      await this.#retain(volume, schedule, signal);
      this.#tell(volume, remembered, null);
    } catch (thrown) {
      remembered.quietUntil = null;
      if (!signal.aborted) this.#tell(volume, remembered, Failure.from(thrown));
    } finally {
      this.#underWay.delete(id);
    }
  }

  async #takeIfDue(
    volume: Volume,
    { everyMs }: Schedule,
    remembered: Remembered,
    signal: AbortSignal,
  ): Promise<void> {
    const { snapshots, clock } = this.#parts;
    const now = clock.now();
    const last = findNewest(await this.#list(volume), now);
    const lastAt = latest(last?.createdAt ?? null, remembered.skippedAt);
    const nextAt = planNext(lastAt, everyMs, now);
    if (nextAt > now) {
      remembered.quietUntil = nextAt;
      return;
    }
    remembered.quietUntil = null;
    if (last !== undefined && !(await this.#hasChanged(volume, last, signal))) {
      remembered.unchangedSince ??= now;
      if (now - remembered.unchangedSince < UNCHANGED_AFTER_MS) return;
      remembered.skippedAt = now;
      remembered.unchangedSince = null;
      return;
    }
    remembered.unchangedSince = null;
    await snapshots.create(volume.name, { author: SCHEDULE_AUTHOR, cause: "scheduled" }, signal);
    remembered.skippedAt = null;
  }

  async #hasChanged(volume: Volume, last: Snapshot, signal: AbortSignal): Promise<boolean> {
    const driver = this.#parts.pools.get(volume.spec.pool);
    if (driver.changedSince === undefined) return true;
    return driver.changedSince(volume.head, last.layer, signal).catch((thrown: unknown) => {
      if (Failure.from(thrown).code !== "not_found") throw thrown;
      // One of the layers is gone: a snapshot shows what is the matter, silence would not.
      return true;
    });
  }

  /** One that cannot be removed is logged and tried again after the next snapshot; it keeps no other. */
  async #retain(volume: Volume, { keep }: Schedule, signal: AbortSignal): Promise<void> {
    const { snapshots, clock, log } = this.#parts;
    const all = await snapshots.list(volume.name);
    const recorded = new Map(all.map((one) => [one.value, one]));
    const { remove } = planRetention([...recorded.keys()], keep, clock.now());
    for (const { snapshot } of remove) {
      signal.throwIfAborted();
      const found = recorded.get(snapshot);
      if (found === undefined) continue;
      await snapshots.discard(volume, found, signal).catch((thrown: unknown) => {
        log.warn("snapshot that is not to be kept not removed yet", {
          ...{ volume: volume.name, snapshot: snapshot.id, error: thrown },
        });
      });
    }
  }

  async #list(volume: Volume): Promise<readonly Snapshot[]> {
    return (await this.#parts.snapshots.list(volume.name)).map(({ value }) => value);
  }

  /** An event when it begins to fail or fails otherwise, and when it works again; not each minute. */
  #tell(volume: Volume, remembered: Remembered, failure: Failure | null): void {
    const { events } = this.#parts;
    const before = remembered.failing;
    remembered.failing = failure?.message ?? null;
    if (remembered.failing === before) return;
    events.emit({
      type: failure === null ? "schedule.recovered" : "schedule.failed",
      level: failure === null ? "info" : "warning",
      subject: volume.name,
      message:
        failure === null
          ? `The schedule of volume "${volume.name}" works again`
          : `The schedule of volume "${volume.name}" fails: ${failure.message}; it is tried again every minute`,
    });
  }

  #recall(id: VolumeId, revision: number): Remembered {
    const found = this.#remembered.get(id);
    if (found?.revision === revision) return found;
    const fresh: Remembered = {
      revision,
      quietUntil: null,
      unchangedSince: null,
      skippedAt: null,
      failing: found?.failing ?? null,
    };
    this.#remembered.set(id, fresh);
    return fresh;
  }

  #forgetTimes(): void {
    for (const remembered of this.#remembered.values()) {
      remembered.quietUntil = null;
      remembered.unchangedSince = null;
      remembered.skippedAt = null;
    }
  }
}

function scheduleOf(volume: Volume): Schedule | null {
  return volume.schedule ?? null;
}

/** The last scheduled one that is not of the future. */
function findNewest(snapshots: readonly Snapshot[], now: UnixMs): Snapshot | undefined {
  return snapshots
    .filter((one) => one.cause === "scheduled" && one.createdAt <= now + CLOCK_TOLERANCE_MS)
    .reduce<Snapshot | undefined>(
      (newest, one) => (newest !== undefined && newest.createdAt >= one.createdAt ? newest : one),
      undefined,
    );
}

function latest(a: UnixMs | null, b: UnixMs | null): UnixMs | null {
  if (a === null || b === null) return a ?? b;
  return Math.max(a, b);
}
