import type { DriverFacts, PoolHealth } from "../../core/ports/storage-driver.ts";

/** A btrfs that a pool lies in, however it comes to be there. */
export interface BtrfsPlace {
  /** True when nobody else has data in this file system, so that its accounting is ours to turn on. */
  readonly ours: boolean;
  /** Brings it up; answers the directory for layers. @throws {Failure} saying what stands in the way. */
  open(signal: AbortSignal): Promise<string>;
  /** Takes down what `open` brought up; in use is success. */
  close(): Promise<void>;
  /** @throws {Failure} `unavailable` when the btrfs is not there, or takes no writes. */
  ensureUp(): Promise<void>;
  /** What could go wrong below the btrfs. */
  health(): Promise<PoolHealth>;
  facts(): DriverFacts;
}
