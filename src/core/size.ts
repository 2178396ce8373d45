import { Failure } from "./failure.ts";
import { quote } from "./name.ts";

/** Smallest size limit of a volume, in bytes: less than this and no file system can keep its own books. */
export const SIZE_LIMIT_MIN_BYTES: number = 1024 ** 2;

const POWER: Readonly<Record<string, bigint>> = { "": 0n, K: 1n, M: 2n, G: 3n, T: 4n, P: 5n };
const SIZE = /^(\d{1,16})(?:\.(\d{1,9}))?(?:([KMGTP])(I?B?)|B)?$/;

/**
 * Bytes of a size as people write it. Units are those of GNU coreutils and `docker run --memory`:
 * `10G`, `10g`, `10Gi` and `10GiB` are 10 × 1024³; `10GB` (with B, without i) is 10 × 1000³;
 * no unit, or `B`, is bytes. Upper and lower case are the same, so `500m` is 500 MiB. A fraction is
 * allowed and rounded up to a whole byte.
 *
 * @throws {Failure} `invalid_argument` for anything else, `out_of_range` below
 * {@link SIZE_LIMIT_MIN_BYTES} or above 2^53-1 bytes.
 */
export function parseSizeBytes(text: string): number {
  const match = SIZE.exec(text.toUpperCase());
  if (match === null || !/^[\x20-\x7e]*$/.test(text)) {
    throw new Failure(
      "invalid_argument",
      `Cannot use ${quote(text)} as a size: write a number and a unit with nothing between, such as 500M, 10G or 1.5T (1024s), or 10GB (1000s)`,
    );
  }
  const [, whole = "", fraction = "", unit = "", suffix = ""] = match;
  const base = suffix === "B" ? 1000n : 1024n;
  // Exactly: a floating-point product is a byte beside what was asked for here and there.
  const parts = 10n ** BigInt(fraction.length);
  const exact = BigInt(whole + fraction) * base ** (POWER[unit] ?? 0n);
  const bytes = Number((exact + parts - 1n) / parts);
  if (bytes < SIZE_LIMIT_MIN_BYTES) {
    throw new Failure(
      "out_of_range",
      `Cannot use ${quote(text)} as a size: the smallest is ${formatBytes(SIZE_LIMIT_MIN_BYTES)}; leave the size out for no limit`,
    );
  }
  if (bytes > Number.MAX_SAFE_INTEGER) {
    throw new Failure("out_of_range", `Cannot use ${quote(text)} as a size: the largest is 8 PiB`);
  }
  return bytes;
}

/** Bytes for people, in 1024s with at most four significant characters: `0 B`, `1.5 GiB`, `100 MiB`. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1023.95 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  const shown = unit === 0 || value >= 99.95 ? value.toFixed(0) : trimmed(value.toFixed(1));
  return `${shown} ${units[unit]}`;
}

function trimmed(text: string): string {
  return text.endsWith(".0") ? text.slice(0, -2) : text;
}
