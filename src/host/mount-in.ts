import { readFileSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { parseMountInfo } from "./mountinfo.ts";

/** Mounts in our own mount namespace, as they were at the first question. For worker threads: it may wait. */
export class MountsIn {
  #table: readonly string[] | undefined;

  /** A mount point at `path` or below; undefined when there is none. Throws what Node throws when the directory of `path` is absent. */
  find(path: string): string | undefined {
    // The table has paths without links; a link in the last component is not followed.
    const real = join(realpathSync.native(dirname(path)), basename(path));
    this.#table ??= parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8")).map(
      ({ mountPoint }) => mountPoint,
    );
    return this.#table.find((mountPoint) => `${mountPoint}/`.startsWith(`${real}/`));
  }
}

/** {@link MountsIn.find} of what is mounted now. */
export function findMountIn(path: string): string | undefined {
  return new MountsIn().find(path);
}
