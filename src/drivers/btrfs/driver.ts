import type { StorageDriver } from "../../core/ports/storage-driver.ts";
import type { DriverOptions } from "../shared/options.ts";
import { NEVER_OPENED, type PoolPast } from "../shared/pool-directory.ts";
import type { DriverPorts } from "../shared/ports.ts";
import { TreeDriver } from "../shared/tree-driver.ts";
import { Device } from "./device.ts";
import { HostDirectory } from "./host-directory.ts";
import { LoopFile } from "./loop-file.ts";
import { Mounted } from "./mounted.ts";
import { type BtrfsSource, parseBtrfsOptions } from "./options.ts";
import type { BtrfsPlace } from "./place.ts";
import { BtrfsTrees } from "./trees.ts";

/**
 * A pool of btrfs subvolumes. `poolDirectory` is canonical and absolute.
 *
 * @throws {Failure} `invalid_argument` for options that {@link parseBtrfsOptions} refuses.
 */
export function createBtrfsDriver(
  poolDirectory: string,
  options: DriverOptions,
  ports: DriverPorts,
  past: PoolPast = NEVER_OPENED,
): StorageDriver {
  const place = placeOf(poolDirectory, parseBtrfsOptions(options), ports, past);
  return new TreeDriver(new BtrfsTrees(place, ports), ports.files);
}

function placeOf(
  poolDirectory: string,
  source: BtrfsSource,
  ports: DriverPorts,
  past: PoolPast,
): BtrfsPlace {
  switch (source.kind) {
    case "directory":
      return new HostDirectory(poolDirectory, ports, past);
    case "device":
      return new Mounted(poolDirectory, new Device(source.device, ports), ports);
    case "file": {
      const file = new LoopFile(`${poolDirectory}/pool.img`, source, ports);
      return new Mounted(poolDirectory, file, ports);
    }
  }
}
