import { Failure } from "../../core/failure.ts";
import { quote } from "../../core/name.ts";
import { formatBytes, parseSizeBytes } from "../../core/size.ts";
import { type DriverOptions, ensureKnown } from "../shared/options.ts";

/** Smallest loop file, in bytes: mkfs.btrfs takes no less than 109 MiB, and something must fit in. */
export const LOOP_FILE_MIN_BYTES: number = 256 * 1024 ** 2;

/** Where the btrfs of a pool is. */
export type BtrfsSource =
  /** The pool's directory itself lies on btrfs. */
  | { readonly kind: "directory" }
  /** A disk or partition, empty or with btrfs. */
  | { readonly kind: "device"; readonly device: string }
  /**
   * A file in the pool's directory, attached to a loop device. `sizeBytes` counts when it is made. `reserved`: it takes
   * all of its room at once and keeps it; else it is sparse.
   */
  | { readonly kind: "file"; readonly sizeBytes: number; readonly reserved: boolean };

/**
 * `device=/dev/…`: that disk. `size=…`: a loop file of that size, with `reserve=true` not a sparse one. Neither: the
 * pool's directory.
 *
 * @throws {Failure} `invalid_argument` for both together, other options, or values that cannot be.
 */
export function parseBtrfsOptions(options: DriverOptions): BtrfsSource {
  ensureKnown("btrfs", options, ["device", "size", "reserve"]);
  const { device, size, reserve = "false" } = options;
  if (reserve !== "true" && reserve !== "false") {
    throw new Failure(
      "invalid_argument",
      `Cannot use ${quote(reserve)} as reserve: write true or false`,
    );
  }
  if (reserve === "true" && size === undefined) {
    throw new Failure(
      "invalid_argument",
      "Cannot reserve room without a size: the option is for a loop file",
    );
  }
  if (device !== undefined && size !== undefined) {
    throw new Failure(
      "invalid_argument",
      "Cannot use the options device and size together: a device has the size that it has",
    );
  }
  if (device !== undefined) {
    if (/^\/dev\/[^\s]+$/.test(device) && !device.includes("/../"))
      return { kind: "device", device };
    throw new Failure(
      "invalid_argument",
      `Cannot use ${quote(device)} as a device: write its path, such as /dev/sdb or /dev/disk/by-id/…`,
    );
  }
  if (size === undefined) return { kind: "directory" };
  const sizeBytes = parseSizeBytes(size);
  if (sizeBytes < LOOP_FILE_MIN_BYTES) {
    throw new Failure(
      "out_of_range",
      `Cannot make a loop file of ${formatBytes(sizeBytes)}: btrfs needs at least ${formatBytes(LOOP_FILE_MIN_BYTES)}`,
    );
  }
  return { kind: "file", sizeBytes, reserved: reserve === "true" };
}
