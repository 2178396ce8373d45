import { Failure } from "../../core/failure.ts";
import { quote } from "../../core/name.ts";
import { formatBytes, parseSizeBytes } from "../../core/size.ts";
import { type DriverOptions, ensureKnown } from "../shared/options.ts";

/** Smallest file for a ZFS pool of our own, in bytes: ZFS takes no less than 64 MiB, and something must fit in. */
export const VDEV_FILE_MIN_BYTES: number = 256 * 1024 ** 2;

/** Where the datasets of a pool are. */
export type ZfsSource =
  /** Below a dataset of a ZFS pool that is there already, such as `tank/lagan`. */
  | { readonly kind: "dataset"; readonly dataset: string }
  /** In a ZFS pool of our own on a sparse file in the pool's directory. `sizeBytes` counts when it is made. */
  | { readonly kind: "file"; readonly sizeBytes: number };

/** Names as zfs(8) allows them, each part beginning with a letter or digit. */
const DATASET = /^[A-Za-z][\w.:-]*(\/[A-Za-z0-9][\w.:-]*)*$/;
/** Longest name of a dataset in which layers and their snapshots still have names that ZFS takes (255 bytes). */
const DATASET_LIMIT_BYTES = 150;

/**
 * `dataset=tank/lagan`: below that. `size=…`: a file of that size.
 *
 * @throws {Failure} `invalid_argument` for none or both of them, other options, or values that cannot be.
 */
export function parseZfsOptions(options: DriverOptions): ZfsSource {
  ensureKnown("zfs", options, ["dataset", "size"]);
  const { dataset, size } = options;
  if ((dataset === undefined) === (size === undefined)) {
    throw new Failure(
      "invalid_argument",
      "Cannot make a zfs pool: say either dataset=POOL/NAME, the dataset to keep it in, or size=SIZE, for a file of that size",
    );
  }
  if (dataset !== undefined) {
    if (DATASET.test(dataset) && dataset.length <= DATASET_LIMIT_BYTES) {
      return { kind: "dataset", dataset };
    }
    throw new Failure(
      "invalid_argument",
      `Cannot use ${quote(dataset)} as a dataset: write its name, such as tank/lagan, without a leading slash`,
    );
  }
  const sizeBytes = parseSizeBytes(size ?? "");
  if (sizeBytes < VDEV_FILE_MIN_BYTES) {
    throw new Failure(
      "out_of_range",
      `Cannot make a file of ${formatBytes(sizeBytes)} for ZFS: it needs at least ${formatBytes(VDEV_FILE_MIN_BYTES)}`,
    );
  }
  return { kind: "file", sizeBytes };
}
