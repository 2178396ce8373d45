import { Failure } from "../../core/failure.ts";
import type { PoolPast } from "../shared/pool-directory.ts";
import type { ZfsCommands } from "./commands.ts";
import { ANCHOR } from "./mounts.ts";

/**
 * Sees to it that a pool's dataset is set up: never mounted itself, its children at their names in `directory`, one of
 * them the anchor.
 *
 * @throws {Failure} `unavailable` when the anchor was there and is gone.
 */
export async function ensureBase(
  zfs: ZfsCommands,
  base: string,
  directory: string,
  past: PoolPast,
  signal: AbortSignal,
): Promise<void> {
  const attempt = `Cannot set up dataset ${base}`;
  const found = await zfs.find(base, ["canmount", "mountpoint"], signal);
  // First: a dataset that may not be mounted goes nowhere when its mountpoint changes.
  if (found?.get("canmount") !== "off") {
    await zfs.run(attempt, ["zfs", "set", "canmount=off", base], signal);
  }
  if (found?.get("mountpoint") !== directory) {
    await zfs.run(attempt, ["zfs", "set", `mountpoint=${directory}`, base], signal);
  }
  const anchor = `${base}/${ANCHOR}`;
  if ((await zfs.find(anchor, ["type"], signal)) !== undefined) return;
  if (past.opened) {
    throw new Failure("unavailable", `Cannot open the pool in dataset ${base}: ${anchor} is gone`);
  }
  // So that no tool that snapshots whole pools keeps alive what we remove.
  await zfs.run(attempt, ["zfs", "set", "com.sun:auto-snapshot=false", base], signal);
  await zfs.run(attempt, ["zfs", "create", "-o", "canmount=noauto", anchor], signal);
}
