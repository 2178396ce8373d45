import { Failure } from "./failure.ts";
import { quote } from "./name.ts";

const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const DURATION = /^(\d{1,6})([smhd])$/;

/**
 * Milliseconds of a duration as people write it: a whole number and `s`, `m`, `h` or `d` (`24h`, `7d`), or `0`.
 *
 * @throws {Failure} `invalid_argument` for anything else.
 */
export function parseDurationMs(text: string): number {
  if (text === "0") return 0;
  const [, digits, unit = ""] = DURATION.exec(text) ?? [];
  const unitMs = UNIT_MS[unit];
  if (digits === undefined || unitMs === undefined) {
    throw new Failure(
      "invalid_argument",
      `Cannot use ${quote(text)} as a duration: write a whole number and s, m, h or d, such as 90s, 24h or 7d, or 0`,
    );
  }
  return Number(digits) * unitMs;
}

/** Milliseconds as {@link parseDurationMs} reads them, in the largest unit that divides them: `90s`, `15m`, `1d`. */
export function formatDuration(durationMs: number): string {
  for (const unit of ["d", "h", "m", "s"]) {
    const unitMs = UNIT_MS[unit] ?? 1;
    if (durationMs > 0 && durationMs % unitMs === 0) return `${durationMs / unitMs}${unit}`;
  }
  return durationMs === 0 ? "0" : `${Math.ceil(durationMs / 1_000)}s`;
}
