import type { StorageDriver } from "../../core/ports/storage-driver.ts";
import type { DriverOptions } from "../shared/options.ts";
import { NEVER_OPENED, type PoolPast } from "../shared/pool-directory.ts";
import type { DriverPorts } from "../shared/ports.ts";
import { TreeDriver } from "../shared/tree-driver.ts";
import { parseLoopOptions } from "./options.ts";
import { LoopTrees } from "./trees.ts";

/**
 * A pool of image files, on whatever file system `poolDirectory` lies. It is canonical and absolute.
 *
 * @throws {Failure} `invalid_argument` or `out_of_range` for options that {@link parseLoopOptions} refuses.
 */
export function createLoopDriver(
  poolDirectory: string,
  options: DriverOptions,
  ports: DriverPorts,
  past: PoolPast = NEVER_OPENED,
): StorageDriver {
  const trees = new LoopTrees(poolDirectory, parseLoopOptions(options), ports, past);
  return new TreeDriver(trees, ports.files);
}
