import type { UnixMs } from "./ports/clock.ts";

const DAY_MS = 86_400_000;

/**
 * A time as people read it in a message: `2026-11-21 05:24 UTC`. Years 0 to 9999, proleptic Gregorian; the days are
 * counted as in http://howardhinnant.github.io/date_algorithms.html (civil_from_days).
 */
export function formatMinute(time: UnixMs): string {
  const { date, minutes } = partsOf(time);
  return `${date} ${padded(Math.floor(minutes / 60), 2)}:${padded(minutes % 60, 2)} UTC`;
}

/** A time as documents have it, in whole seconds: `2026-11-21T05:24:07Z` (RFC 3339). */
export function formatRfc3339(time: UnixMs): string {
  const { date, minutes } = partsOf(time);
  const seconds = Math.floor(time / 1000) - Math.floor(time / 60_000) * 60;
  const clock = [Math.floor(minutes / 60), minutes % 60, seconds];
  return `${date}T${clock.map((part) => padded(part, 2)).join(":")}Z`;
}

function partsOf(time: UnixMs): { readonly date: string; readonly minutes: number } {
  const days = Math.floor(time / DAY_MS);
  const minutes = Math.floor((time - days * DAY_MS) / 60_000);
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1_460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1;
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  const date = `${padded(year, 4)}-${padded(month, 2)}-${padded(day, 2)}`;
  return { date, minutes };
}

function padded(value: number, digits: number): string {
  return String(value).padStart(digits, "0");
}
