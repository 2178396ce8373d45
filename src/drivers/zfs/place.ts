import type { DriverFacts, PoolHealth } from "../../core/ports/storage-driver.ts";

/** Where a pool's datasets are, however they come to be there. */
export interface ZfsPlace {
  /** The dataset below which layers are. */
  readonly dataset: string;
  /** Brings the ZFS pool in, and makes the dataset the first time. */
  open(signal: AbortSignal): Promise<void>;
  /** Takes out what `open` brought in; in use is success. Nothing of ours is mounted. */
  close(signal: AbortSignal): Promise<void>;
  /** What could go wrong below the ZFS pool. */
  health(): Promise<PoolHealth>;
  facts(): DriverFacts;
}
