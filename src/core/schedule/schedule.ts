import { formatDuration, parseDurationMs } from "../duration.ts";
import { Failure } from "../failure.ts";
import { quote } from "../name.ts";
import type { UnixMs } from "../ports/clock.ts";
import { DEFAULT_KEEP, type Keep } from "./keep.ts";

/** When snapshots of a volume are taken by themselves, and which of those stay. */
export interface Schedule {
  readonly everyMs: number;
  readonly keep: Keep;
}

/** The shortest time between two snapshots, in milliseconds: schedules are looked at once a minute. */
export const EVERY_MIN_MS = 60_000;
/** The longest, in milliseconds. */
export const EVERY_MAX_MS: number = 366 * 86_400_000;
/** How far in the future a snapshot may seem to be, in milliseconds, and still count: clocks are corrected by seconds. */
export const CLOCK_TOLERANCE_MS = 60_000;

/** What a request or a profile says of a schedule; absent: not said. */
export interface ScheduleOptions {
  /** Null: no schedule, whatever the profile says. */
  readonly everyMs?: number | null;
  readonly keep?: Keep;
}

/**
 * Milliseconds of `15m`, `1h`, `1d`…; null for `none`: no schedule.
 *
 * @throws {Failure} `invalid_argument`; `out_of_range` below a minute or above 366 days.
 */
export function parseEvery(text: string): number | null {
  if (text === "none") return null;
  const everyMs = parseDurationMs(text);
  if (everyMs >= EVERY_MIN_MS && everyMs <= EVERY_MAX_MS && everyMs % EVERY_MIN_MS === 0) {
    return everyMs;
  }
  throw new Failure(
    "out_of_range",
    `Cannot use schedule=${quote(text)}: give whole minutes from 1m to ${formatDuration(EVERY_MAX_MS)}, such as 15m, 1h or 1d, or none`,
  );
}

/**
 * The schedule that options ask for on top of one that is there; `keep` alone changes only what is kept.
 *
 * @throws {Failure} `invalid_argument` for `keep` without any schedule.
 */
export function mergeSchedule(present: Schedule | null, options: ScheduleOptions): Schedule | null {
  const { keep } = options;
  const everyMs = options.everyMs === undefined ? (present?.everyMs ?? null) : options.everyMs;
  if (everyMs !== null) {
    // Not `??`: a keep of null is one.
    return { everyMs, keep: keep === undefined ? keepOf(present) : keep };
  }
  if (keep === undefined || options.everyMs === null) return null;
  throw new Failure(
    "invalid_argument",
    "Cannot use keep without a schedule: say also how often, such as schedule=15m",
  );
}

function keepOf(present: Schedule | null): Keep {
  return present === null ? DEFAULT_KEEP : present.keep;
}

/**
 * When the next snapshot is due, given when the last one was taken; not later than `now`: it is due.
 *
 * Due times are the multiples of `everyMs` since 1970 in UTC (`15m`: 00, 15, 30 and 45 past; `1h`: on the hour; `1d`: midnight
 * UTC), so they do not drift, are the same after a restart, and daylight saving does not touch them. The first one of
 * a volume without any is due at once. Of several that were missed one is made up for.
 */
export function planNext(lastAt: UnixMs | null, everyMs: number, now: UnixMs): UnixMs {
  if (lastAt === null) return now;
  return (Math.floor(lastAt / everyMs) + 1) * everyMs;
}

/**
 * The last of `times` that can be: what lies further in the future than {@link CLOCK_TOLERANCE_MS} was taken while
 * the clock was wrong, and does not keep others from being taken.
 */
export function findLast(times: readonly UnixMs[], now: UnixMs): UnixMs | null {
  const past = times.filter((at) => at <= now + CLOCK_TOLERANCE_MS);
  return past.length === 0 ? null : past.reduce((last, at) => Math.max(last, at));
}
