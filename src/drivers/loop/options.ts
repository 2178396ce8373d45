import { Failure } from "../../core/failure.ts";
import { quote } from "../../core/name.ts";
import { formatBytes, parseSizeBytes } from "../../core/size.ts";
import { type DriverOptions, ensureKnown } from "../shared/options.ts";
import { FILE_SYSTEMS, type ImageType } from "./file-systems.ts";

/** Size of a volume without a limit of its own, unless the pool says another; in bytes. */
const DEFAULT_SIZE_BYTES: number = 10 * 1024 ** 3;

/** What a pool of images makes. */
export interface LoopOptions {
  /** File system inside new images. */
  readonly type: ImageType;
  /** Size of an image that nobody gave a size. */
  readonly sizeBytes: number;
}

/**
 * `fs=ext4|xfs` and `size=…`.
 *
 * @throws {Failure} `invalid_argument` for other options or values, `out_of_range` for a size that is too small.
 */
export function parseLoopOptions(options: DriverOptions): LoopOptions {
  ensureKnown("loop", options, ["fs", "size"]);
  const { fs = "ext4", size } = options;
  if (fs === "btrfs") {
    throw new Failure(
      "invalid_argument",
      "Cannot use btrfs inside images: the kernel takes two copies of one btrfs for the same file system; use ext4 or xfs, or driver btrfs",
    );
  }
  if (!isImageType(fs)) {
    const known = Object.keys(FILE_SYSTEMS).join(", ");
    throw new Failure(
      "invalid_argument",
      `Cannot use ${quote(fs)} as the file system of images: there is ${known}`,
    );
  }
  const sizeBytes = size === undefined ? DEFAULT_SIZE_BYTES : parseSizeBytes(size);
  const { minBytes } = FILE_SYSTEMS[fs];
  if (sizeBytes >= minBytes) return { type: fs, sizeBytes };
  throw new Failure(
    "out_of_range",
    `Cannot make images of ${formatBytes(sizeBytes)}: ${fs} needs at least ${formatBytes(minBytes)}`,
  );
}

function isImageType(name: string): name is ImageType {
  return Object.hasOwn(FILE_SYSTEMS, name);
}
