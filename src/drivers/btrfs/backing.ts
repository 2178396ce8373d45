import type { MountEntry } from "../../core/ports/kernel.ts";
import type { DriverFacts, PoolHealth } from "../../core/ports/storage-driver.ts";

/** What a btrfs of ours is made on. */
export interface Backing {
  /** Options of the mount, for this kind of device. */
  readonly mountOptions: readonly string[];
  /**
   * The block device, attached, with btrfs on it.
   *
   * @param options `first`: the pool was never up, so that an empty backing is to be formatted; else it is lost data.
   * @throws {Failure} `failed_precondition` when there is something else on it, or nothing that should be there.
   */
  attach(options: { readonly first: boolean }, signal: AbortSignal): Promise<string>;
  /** False when the block device that `attach` answered has nothing behind it any more. */
  isAttached(): Promise<boolean>;
  /** True when a btrfs mount is of this very backing. */
  owns(entry: MountEntry, signal: AbortSignal): Promise<boolean>;
  /** Lets the block device go; in use is success. */
  release(): Promise<void>;
  health(): Promise<PoolHealth>;
  facts(): DriverFacts;
}
