import type { UnixMs } from "../ports/clock.ts";
import type { KeepRule } from "./keep.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

/**
 * The number of the calendar minute, hour, day, ISO week (from Monday), month or year in UTC that holds `at`; two
 * times have the same number when they are in the same one. UTC has no daylight saving: no hour comes
 * twice, and no day has 23.
 */
export function bucketOf(rule: Exclude<KeepRule, "last">, at: UnixMs): number {
  switch (rule) {
    case "minutely":
      return Math.floor(at / MINUTE_MS);
    case "hourly":
      return Math.floor(at / HOUR_MS);
    case "daily":
      return Math.floor(at / DAY_MS);
    case "weekly":
      // 1 January 1970 was a Thursday.
      return Math.floor((Math.floor(at / DAY_MS) + 3) / 7);
    case "monthly": {
      const { year, month } = civil(Math.floor(at / DAY_MS));
      return year * 12 + month;
    }
    case "yearly":
      return civil(Math.floor(at / DAY_MS)).year;
  }
}

/**
 * Year and month (from 0) of a day counted from 1 January 1970, in the Gregorian calendar: counted in years that
 * begin in March, so that the odd day is the last of a year, and in eras of 400 years, which are all equally long.
 */
function civil(day: number): { readonly year: number; readonly month: number } {
  const shifted = day + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const leapDays =
    Math.floor(dayOfEra / 1_460) - Math.floor(dayOfEra / 36_524) + Math.floor(dayOfEra / 146_096);
  const yearOfEra = Math.floor((dayOfEra - leapDays) / 365);
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const month = (monthFromMarch + 2) % 12;
  return { year: era * 400 + yearOfEra + (month < 2 ? 1 : 0), month };
}
