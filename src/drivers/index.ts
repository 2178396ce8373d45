import { Failure } from "../core/failure.ts";
import { quote } from "../core/name.ts";
import { choosePool } from "../core/pool/choose.ts";
import type { PoolRecord, PoolSpec } from "../core/pool/pool.ts";
import type { StorageDriver } from "../core/ports/storage-driver.ts";
import { lookForPool } from "./auto/look.ts";
import { createBtrfsDriver } from "./btrfs/driver.ts";
import { createDirectoryDriver } from "./directory/driver.ts";
import { createLoopDriver } from "./loop/driver.ts";
import { createOverlayDriver } from "./overlay/driver.ts";
import { type DriverOptions, ensureKnown } from "./shared/options.ts";
import type { PoolPast } from "./shared/pool-directory.ts";
import type { DriverPorts } from "./shared/ports.ts";
import { createZfsDriver } from "./zfs/driver.ts";

/** Name of a driver. */
export type DriverName = "btrfs" | "directory" | "loop" | "overlay" | "zfs";

/** Makes the driver of a pool; nothing is touched before its `open`. @throws {Failure} `invalid_argument` for bad options. */
export type DriverFactory = (
  poolDirectory: string,
  options: DriverOptions,
  ports: DriverPorts,
  past: PoolPast,
) => StorageDriver;

/** Every driver that a pool can have, by name. */
export const DRIVERS: Readonly<Record<DriverName, DriverFactory>> = {
  btrfs: createBtrfsDriver,
  directory: createDirectoryDriver,
  loop: createLoopDriver,
  overlay: createOverlayDriver,
  zfs: createZfsDriver,
};

/** True when there is a driver of this name. */
function isDriverName(name: string): name is DriverName {
  return Object.hasOwn(DRIVERS, name);
}

/** What the pools service makes pools with. */
export interface DriverMaker {
  choose(spec: PoolSpec): Promise<Pick<PoolRecord, "driver" | "options" | "why">>;
  build(pool: PoolRecord): StorageDriver;
}

/**
 * Makes the pools of a node, each in a directory of its own name.
 *
 * @param poolsDirectory Canonical and absolute; is there.
 */
export function poolMaker(poolsDirectory: string, ports: DriverPorts): DriverMaker {
  return {
    choose: async ({ driver, options }) => {
      if (driver !== "auto") return { driver, options, why: "the configuration asks for it" };
      ensureKnown("auto", options, []);
      return choosePool(await lookForPool(poolsDirectory, ports, new AbortController().signal));
    },
    build: ({ name, driver, options, opened }) => {
      if (!isDriverName(driver)) {
        const known = ["auto", ...Object.keys(DRIVERS)].join(", ");
        throw new Failure(
          "invalid_argument",
          `Cannot make pool "${name}" with driver ${quote(driver)}: there is ${known}`,
        );
      }
      return DRIVERS[driver](`${poolsDirectory}/${name}`, options, ports, { opened });
    },
  };
}
