import type { UnixMs } from "../ports/clock.ts";
import { bucketOf } from "./calendar.ts";
import { formatKeep, KEEP_RULES, type Keep, type KeepRule } from "./keep.ts";
import { CLOCK_TOLERANCE_MS } from "./schedule.ts";

/*
 * Which snapshots go. Invariants:
 * 1. Only what a schedule took, and nobody has named or protected since, is ever removed.
 * 2. The newest one that a schedule took is never removed, nor any that seems to be of the future: while the clock was
 *    wrong it was right, or it is wrong now.
 * 3. A rule counts periods that have a snapshot, not periods that have passed: a machine that was off, or a clock
 *    that jumps ahead by years, removes nothing that would else be kept.
 * 4. Of each period the newest stays. So planning after every snapshot keeps what planning once at the end would.
 */

/** What is known of a snapshot here. */
export interface Retainable {
  readonly id: string;
  readonly createdAt: UnixMs;
  readonly cause: string;
  readonly name: string | null;
  readonly protection: object | null;
}

/** A snapshot and why it stays, or goes. */
export interface Verdict<T> {
  readonly snapshot: T;
  /** `daily` and the like; `newest`, `asked`, `named`, `protected`, `future`, `all`; for one that goes, a sentence. */
  readonly reasons: readonly string[];
}

/** Every snapshot once, in one of the two; oldest first. */
export interface RetentionPlan<T> {
  readonly keep: readonly Verdict<T>[];
  readonly remove: readonly Verdict<T>[];
}

/** Decides which of a line's snapshots stay. */
export function planRetention<T extends Retainable>(
  snapshots: readonly T[],
  keep: Keep,
  now: UnixMs,
): RetentionPlan<T> {
  const reasons = new Map<T, string[]>(snapshots.map((snapshot) => [snapshot, []]));
  const add = (snapshot: T, reason: string) => reasons.get(snapshot)?.push(reason);
  for (const snapshot of snapshots) {
    if (snapshot.cause !== "scheduled") add(snapshot, "asked");
    if (snapshot.name !== null) add(snapshot, "named");
    if (snapshot.protection !== null) add(snapshot, "protected");
    if (snapshot.createdAt > now + CLOCK_TOLERANCE_MS) add(snapshot, "future");
    if (keep === null) add(snapshot, "all");
  }
  const counted = snapshots
    .filter(
      ({ cause, createdAt }) => cause === "scheduled" && createdAt <= now + CLOCK_TOLERANCE_MS,
    )
    .sort(newestFirst);
  const [newest] = counted;
  if (newest !== undefined) add(newest, "newest");
  for (const rule of KEEP_RULES) {
    for (const snapshot of chosenBy(rule, keep?.[rule] ?? 0, counted)) add(snapshot, rule);
  }
  const verdicts = [...reasons]
    .map(([snapshot, given]) => ({ snapshot, reasons: given }))
    .sort((a, b) => newestFirst(b.snapshot, a.snapshot));
  return {
    keep: verdicts.filter((verdict) => verdict.reasons.length > 0),
    remove: verdicts
      .filter((verdict) => verdict.reasons.length === 0)
      .map(({ snapshot }) => ({
        snapshot,
        reasons: [`not among those that ${formatKeep(keep)} keeps`],
      })),
  };
}

/** The newest of each of the last `count` periods that have any. */
function chosenBy<T extends Retainable>(
  rule: KeepRule,
  count: number,
  latestFirst: readonly T[],
): readonly T[] {
  if (rule === "last") return latestFirst.slice(0, count);
  const chosen = new Map<number, T>();
  for (const snapshot of latestFirst) {
    const bucket = bucketOf(rule, snapshot.createdAt);
    if (chosen.has(bucket)) continue;
    if (chosen.size === count) break;
    chosen.set(bucket, snapshot);
  }
  return [...chosen.values()];
}

/** Ids sort by age where times are equal. */
function newestFirst(a: Retainable, b: Retainable): number {
  return b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1);
}
