import type { StorageDriver } from "../../core/ports/storage-driver.ts";
import type { DriverOptions } from "../shared/options.ts";
import { NEVER_OPENED, type PoolPast } from "../shared/pool-directory.ts";
import type { DriverPorts } from "../shared/ports.ts";
import { TreeDriver } from "../shared/tree-driver.ts";
import { parseDirectoryOptions } from "./options.ts";
import { DirectoryTrees } from "./trees.ts";

/**
 * A pool of plain directories, on whatever file system `poolDirectory` lies. It is canonical and absolute.
 *
 * @throws {Failure} `invalid_argument` for any option.
 */
export function createDirectoryDriver(
  poolDirectory: string,
  options: DriverOptions,
  ports: DriverPorts,
  past: PoolPast = NEVER_OPENED,
): StorageDriver {
  parseDirectoryOptions(options);
  return new TreeDriver(new DirectoryTrees(poolDirectory, ports, past), ports.files);
}
