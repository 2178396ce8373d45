import { readFileSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { parseMountInfo } from "./mountinfo.ts";

/**
 * A mount point at `path` or below, in our own mount namespace; undefined when there is none. For worker threads: it may
 * wait. Throws what Node throws when the directory of `path` is absent.
 */
export function findMountIn(path: string): string | undefined {
  // The table has paths without links; a link in the last component is not followed.
  const real = join(realpathSync(dirname(path)), basename(path));
  const table = parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8"));
  return table.find(({ mountPoint }) => `${mountPoint}/`.startsWith(`${real}/`))?.mountPoint;
}
