import { Failure } from "../../core/failure.ts";
import { formatBytes, SIZE_LIMIT_MIN_BYTES } from "../../core/size.ts";
import type { CapacityRange } from "../shared/generated/csi.ts";
import { refused } from "./fields.ts";

/** A range of sizes, in bytes; null: not said. */
export interface SizeRange {
  readonly required: number | null;
  readonly limit: number | null;
}

/**
 * Bytes are whole numbers of JavaScript from here on: no volume of ours can be larger.
 *
 * @throws {Failure} `invalid_argument` for a negative size, or a limit below what is required; `out_of_range` for what
 * no volume can be.
 */
export function parseRange(range: CapacityRange | undefined): SizeRange {
  const { requiredBytes = 0n, limitBytes = 0n } = range ?? {};
  if (requiredBytes < 0n || limitBytes < 0n) throw refused("capacity_range", "it is negative");
  if (limitBytes > 0n && limitBytes < requiredBytes) {
    throw refused("capacity_range", "limit_bytes is less than required_bytes");
  }
  const most = BigInt(Number.MAX_SAFE_INTEGER);
  if (requiredBytes > most) {
    throw new Failure("out_of_range", "Cannot use capacity_range: the largest volume has 8 PiB");
  }
  if (limitBytes > 0n && limitBytes < BigInt(SIZE_LIMIT_MIN_BYTES)) {
    const least = formatBytes(SIZE_LIMIT_MIN_BYTES);
    throw new Failure(
      "out_of_range",
      `Cannot use capacity_range: the smallest volume has ${least}`,
    );
  }
  return {
    required: requiredBytes === 0n ? null : Math.max(Number(requiredBytes), SIZE_LIMIT_MIN_BYTES),
    limit: limitBytes === 0n || limitBytes > most ? null : Number(limitBytes),
  };
}

/** The size to make; undefined: whatever is usual. */
export function sizeIn({ required, limit }: SizeRange): number | undefined {
  return required ?? limit ?? undefined;
}

/** What a block device's size is a multiple of, in bytes. */
const SECTOR_BYTES = 512;

/**
 * The size of a block device to make. @param usual Its size when none is asked for.
 *
 * @throws {Failure} `out_of_range` when there is none in the range.
 */
export function sectorsIn({ required, limit }: SizeRange, usual: number): number {
  const [asked, toward] =
    required === null && limit !== null ? [limit, Math.floor] : [required ?? usual, Math.ceil];
  const sizeBytes = toward(asked / SECTOR_BYTES) * SECTOR_BYTES;
  if (limit === null || sizeBytes <= limit) return sizeBytes;
  throw new Failure(
    "out_of_range",
    `Cannot use capacity_range: a block device has a multiple of ${SECTOR_BYTES} bytes, and none is in it`,
  );
}

/** True of a size in the range; 0 is no limit at all, so as large as is asked, never small enough. */
export function isIn(sizeBytes: number, { required, limit }: SizeRange): boolean {
  if (sizeBytes === 0) return required === null && limit === null;
  return sizeBytes >= (required ?? 0) && (limit === null || sizeBytes <= limit);
}
