import type { StorageDriver } from "../core/ports/storage-driver.ts";
import { createBtrfsDriver } from "./btrfs/driver.ts";
import { createDirectoryDriver } from "./directory/driver.ts";
import type { DriverOptions } from "./shared/options.ts";
import type { DriverPorts } from "./shared/ports.ts";

/** Name of a driver. */
export type DriverName = "btrfs" | "directory";

/** Makes the driver of a pool; nothing is touched before its `open`. @throws {Failure} `invalid_argument` for bad options. */
export type DriverFactory = (
  poolDirectory: string,
  options: DriverOptions,
  ports: DriverPorts,
) => StorageDriver;

/** Every driver that a pool can have, by name. */
export const DRIVERS: Readonly<Record<DriverName, DriverFactory>> = {
  btrfs: createBtrfsDriver,
  directory: createDirectoryDriver,
};

/** True when there is a driver of this name. */
export function isDriverName(name: string): name is DriverName {
  return Object.hasOwn(DRIVERS, name);
}
