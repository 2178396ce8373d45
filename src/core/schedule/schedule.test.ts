import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatDuration, parseDurationMs } from "../duration.ts";
import { bucketOf } from "./calendar.ts";
import { DEFAULT_KEEP, formatKeep, KEEP_RULES, type Keep, parseKeep } from "./keep.ts";
import { planRetention, type Retainable } from "./retention.ts";
import { findLast, mergeSchedule, parseEvery, planNext } from "./schedule.ts";

const MINUTE = 60_000;
const HOUR = 3_600_000;
const DAY = 86_400_000;

const count = fc.integer({ min: 1, max: 10_000 });
const rules = fc
  .record(
    Object.fromEntries(KEEP_RULES.map((rule) => [rule, count])) as Record<string, typeof count>,
    { requiredKeys: [], noNullPrototype: true },
  )
  .filter((keep) => Object.keys(keep).length > 0);
const smallKeep: fc.Arbitrary<Keep> = fc
  .record(Object.fromEntries(KEEP_RULES.map((rule) => [rule, fc.integer({ min: 1, max: 5 })])), {
    requiredKeys: [],
    noNullPrototype: true,
  })
  .map((keep) => keep as Keep);

describe("keep", () => {
  it("is read in any order, and written in one", () => {
    expect(parseKeep("daily=7, hourly=24,last=3")).toEqual({ last: 3, hourly: 24, daily: 7 });
    expect(formatKeep(parseKeep("daily=7, hourly=24,last=3"))).toBe("last=3,hourly=24,daily=7");
    expect(parseKeep("all")).toBe(null);
    expect(formatKeep(null)).toBe("all");
  });

  it("is the same again once written", () => {
    fc.assert(
      fc.property(rules, (keep) => {
        expect(parseKeep(formatKeep(keep))).toEqual(keep);
      }),
    );
  });

  it.each([
    "",
    "7",
    "daily",
    "daily=0",
    "daily=-1",
    "daily=7,daily=8",
    "dayly=7",
    "daily=1e3",
    ",",
  ])("refuses %j and says what there is", (text) => {
    expect(() => parseKeep(text)).toThrow(/Cannot use keep=/);
  });
});

describe("a schedule", () => {
  it("is whole minutes, or none", () => {
    expect(parseEvery("15m")).toBe(15 * MINUTE);
    expect(parseEvery("60s")).toBe(MINUTE);
    expect(parseEvery("none")).toBe(null);
    for (const text of ["0", "30s", "90s", "400d"]) {
      expect(() => parseEvery(text)).toThrow(/Cannot use schedule=/);
    }
  });

  it("is changed in part: what is not said stays", () => {
    const present = { everyMs: HOUR, keep: { daily: 3 } };
    expect(mergeSchedule(null, {})).toBe(null);
    expect(mergeSchedule(null, { everyMs: HOUR })).toEqual({ everyMs: HOUR, keep: DEFAULT_KEEP });
    expect(mergeSchedule(present, { everyMs: DAY })).toEqual({ everyMs: DAY, keep: { daily: 3 } });
    expect(mergeSchedule(present, { keep: null })).toEqual({ everyMs: HOUR, keep: null });
    expect(mergeSchedule({ ...present, keep: null }, { everyMs: DAY })?.keep).toBe(null);
    expect(mergeSchedule(present, { everyMs: null })).toBe(null);
    expect(() => mergeSchedule(null, { keep: null })).toThrow(/keep without a schedule/);
  });

  it("is due at multiples in UTC, however late the last one was", () => {
    const at = (text: string) => Date.parse(text);
    const last = at("2026-03-29T00:59:59Z");
    expect(planNext(last, 15 * MINUTE, last)).toBe(at("2026-03-29T01:00:00Z"));
    expect(planNext(last, DAY, last)).toBe(at("2026-03-30T00:00:00Z"));
    expect(planNext(null, DAY, last)).toBe(last);
  });

  it("takes exactly one in each period when it is looked at each minute, whatever restarts in between", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 300 }),
        fc.integer({ min: 0, max: 10 * 366 * DAY }),
        fc.array(fc.integer({ min: 1, max: 59_999 }), { minLength: 50, maxLength: 300 }),
        (minutes, start, lateBy) => {
          const everyMs = minutes * MINUTE;
          const taken: number[] = [];
          lateBy.forEach((late, index) => {
            const now = (Math.floor(start / MINUTE) + index) * MINUTE + late;
            if (planNext(findLast(taken, now), everyMs, now) <= now) taken.push(now);
          });
          const periods = taken.map((at) => Math.floor(at / everyMs));
          expect(new Set(periods).size).toBe(periods.length);
          const [first = 0] = periods;
          expect(periods).toEqual(periods.map((_, index) => first + index));
        },
      ),
    );
  });

  it("goes on after the clock was set back", () => {
    const now = 1_000 * DAY;
    expect(findLast([now + HOUR, now - HOUR], now)).toBe(now - HOUR);
    expect(findLast([now + 5_000, now - HOUR], now)).toBe(now + 5_000);
    expect(findLast([now + HOUR], now)).toBe(null);
  });

  it("is written as it is read", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 366 * 1_440 }), (minutes) => {
        expect(parseDurationMs(formatDuration(minutes * MINUTE))).toBe(minutes * MINUTE);
      }),
    );
  });
});

it("the calendar is that of UTC", () => {
  const day = fc.integer({ min: 0, max: 8_640_000_000_000 });
  fc.assert(
    fc.property(day, (at) => {
      const date = new Date(at);
      expect(bucketOf("yearly", at)).toBe(date.getUTCFullYear());
      expect(bucketOf("monthly", at)).toBe(date.getUTCFullYear() * 12 + date.getUTCMonth());
      const monday = at - ((date.getUTCDay() + 6) % 7) * DAY;
      expect(bucketOf("weekly", at)).toBe(bucketOf("weekly", monday));
      expect(bucketOf("weekly", monday - DAY)).toBe(bucketOf("weekly", at) - 1);
    }),
  );
});

describe("retention", () => {
  const now = 20_000 * DAY;
  const made = fc
    .array(
      fc.record({
        createdAt: fc.oneof(
          fc.integer({ min: now - 3 * DAY, max: now }),
          fc.integer({ min: now - 900 * DAY, max: now + 30 * DAY }),
        ),
        cause: fc.constantFrom("scheduled", "scheduled", "scheduled", "asked"),
        name: fc.constantFrom(null, null, null, "before"),
        protection: fc.constantFrom(null, null, null, {}),
      }),
      { maxLength: 60 },
    )
    .map((all): readonly Retainable[] => all.map((one, id) => ({ ...one, id: String(id) })));
  const keepAny = fc.oneof(smallKeep, fc.constant(null));

  it("puts each snapshot into one of the two, with a reason, and is the same in any order", () => {
    fc.assert(
      fc.property(made, keepAny, (all, keep) => {
        const plan = planRetention(all, keep, now);
        const both = [...plan.keep, ...plan.remove];
        expect(new Set(both.map(({ snapshot }) => snapshot)).size).toBe(all.length);
        expect(both.length).toBe(all.length);
        expect(both.every(({ reasons }) => reasons.length > 0)).toBe(true);
        expect(planRetention([...all].reverse(), keep, now)).toEqual(plan);
      }),
    );
  });

  it("never removes the newest, what people asked for, named or protected, nor what is of the future", () => {
    fc.assert(
      fc.property(made, keepAny, (all, keep) => {
        const { remove } = planRetention(all, keep, now);
        const taken = all.filter(
          ({ cause, createdAt }) => cause === "scheduled" && createdAt <= now,
        );
        const newest = Math.max(...taken.map(({ createdAt }) => createdAt));
        for (const { snapshot } of remove) {
          expect(snapshot).toMatchObject({ cause: "scheduled", name: null, protection: null });
          expect(snapshot.createdAt).toBeLessThanOrEqual(newest);
          expect(snapshot.createdAt).toBeLessThanOrEqual(now);
        }
        if (taken.length > 0) expect(remove.length).toBeLessThan(taken.length);
        if (keep === null) expect(remove).toEqual([]);
      }),
    );
  });

  it("honours every rule: of each of the last so many periods that have one, the newest stays", () => {
    fc.assert(
      fc.property(made, smallKeep, (all, keep) => {
        const taken = all.filter(
          ({ cause, createdAt }) => cause === "scheduled" && createdAt <= now,
        );
        const kept = new Set(planRetention(all, keep, now).keep.map(({ snapshot }) => snapshot));
        for (const rule of KEEP_RULES) {
          if (rule === "last") continue;
          const periods = [...new Set(taken.map((one) => bucketOf(rule, one.createdAt)))]
            .sort((a, b) => b - a)
            .slice(0, keep?.[rule] ?? 0);
          for (const period of periods) {
            const inside = taken.filter((one) => bucketOf(rule, one.createdAt) === period);
            const last = Math.max(...inside.map(({ createdAt }) => createdAt));
            expect(inside.some((one) => one.createdAt === last && kept.has(one))).toBe(true);
          }
        }
        expect(taken.filter((one) => kept.has(one)).length).toBeGreaterThanOrEqual(
          Math.min(keep?.last ?? 0, taken.length),
        );
      }),
    );
  });

  it("keeps no more than its rules ask for", () => {
    fc.assert(
      fc.property(made, smallKeep, (all, keep) => {
        const most = Object.values(keep ?? {}).reduce((sum, each) => sum + each, 1);
        const byRules = planRetention(all, keep, now).keep.filter(
          ({ snapshot: { cause, name, protection, createdAt } }) =>
            cause === "scheduled" && name === null && protection === null && createdAt <= now,
        );
        expect(byRules.length).toBeLessThanOrEqual(most);
      }),
    );
  });

  it("done after each snapshot keeps what it keeps when done once at the end", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 40 * HOUR }), { minLength: 1, maxLength: 80 }),
        smallKeep,
        (gaps, keep) => {
          let at = now;
          const all = gaps.map((gap, index): Retainable => {
            at += gap;
            const id = String(index).padStart(4, "0");
            return { id, createdAt: at, cause: "scheduled", name: null, protection: null };
          });
          let left: readonly Retainable[] = [];
          for (const one of all) {
            const plan = planRetention([...left, one], keep, one.createdAt);
            left = plan.keep.map(({ snapshot }) => snapshot);
          }
          const once = planRetention(all, keep, at).keep.map(({ snapshot }) => snapshot);
          expect(left).toEqual(once);
        },
      ),
    );
  });

  it("removes nothing more when the clock jumps ahead by years, and nothing at all when it falls far back", () => {
    fc.assert(
      fc.property(made, smallKeep, (all, keep) => {
        const past = all.filter(({ createdAt }) => createdAt <= now);
        const later = planRetention(past, keep, now + 4_000 * DAY);
        expect(later).toEqual(planRetention(past, keep, now));
        expect(planRetention(past, keep, now - 4_000 * DAY).remove).toEqual([]);
      }),
    );
  });
});
