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
  /** In a ZFS pool of our own on a file in the pool's directory. */
  | ({ readonly kind: "file" } & NewFile);

/** What the file of a ZFS pool of our own is to be; counts when it is made. */
export interface NewFile {
  readonly sizeBytes: number;
  /** It takes all of its room at once; else it is sparse. */
  readonly reserved: boolean;
}

/** Names as zfs(8) allows them, each part beginning with a letter or digit. */
const DATASET = /^[A-Za-z][\w.:-]*(\/[A-Za-z0-9][\w.:-]*)*$/;
/** Longest name of a dataset in which layers and their snapshots still have names that ZFS takes (255 bytes). */
const DATASET_LIMIT_BYTES = 150;

/**
 * `dataset=tank/lagan`: below that. `size=…`: a file of that size, with `reserve=true` not a sparse one.
 *
 * @throws {Failure} `invalid_argument` for none or both of them, other options, or values that cannot be.
 */
export function parseZfsOptions(options: DriverOptions): ZfsSource {
  ensureKnown("zfs", options, ["dataset", "size", "reserve"]);
  const { dataset, size, reserve = "false" } = options;
  if ((dataset === undefined) === (size === undefined)) {
    throw new Failure(
      "invalid_argument",
      "Cannot make a zfs pool: say either dataset=POOL/NAME, the dataset to keep it in, or size=SIZE, for a file of that size",
    );
  }
  if ((reserve !== "true" && reserve !== "false") || (reserve === "true" && size === undefined)) {
    throw new Failure(
      "invalid_argument",
      `Cannot use ${quote(reserve)} as reserve: write true or false, and only with a size`,
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
  return { kind: "file", sizeBytes, reserved: reserve === "true" };
}
