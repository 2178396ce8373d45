import { Failure } from "../../core/failure.ts";
import type { PoolLook } from "../../core/pool/choose.ts";
import type { Exec } from "../../core/ports/exec.ts";
import { mountOf } from "../shared/mount-of.ts";
import type { DriverPorts } from "../shared/ports.ts";
import { canCloneFiles } from "../shared/reflink.ts";

const PROBE_TIMEOUT_MS = 10_000;

/** Looks at the machine for the choice of `auto`. Leaves nothing behind. @param directory Is there, and writable. */
export async function lookForPool(
  directory: string,
  ports: DriverPorts,
  signal: AbortSignal,
): Promise<PoolLook> {
  const { type, availableBytes } = await ports.kernel.statFileSystem(directory);
  const reflink = await canCloneFiles(directory, ports);
  const btrfsLoop =
    (await ports.files.stat("/dev/loop-control")) !== undefined &&
    (await runs(ports.exec, ["mkfs.btrfs", "--version"], signal)) &&
    (await kernelHasBtrfs(ports, signal));
  const zfsDataset = await findZfsDataset(directory, ports, signal);
  return { fileSystem: type, availableBytes, zfsDataset, reflink, btrfsLoop };
}

/** The dataset that `directory` is in, when ZFS answers. */
async function findZfsDataset(
  directory: string,
  { kernel, exec }: DriverPorts,
  signal: AbortSignal,
): Promise<string | null> {
  const entry = mountOf(directory, await kernel.mountTable());
  if (entry?.type !== "zfs" && entry?.type !== "fuse.zfs") return null;
  const argv = ["zfs", "list", "-H", "-o", "name", entry.source] as const;
  return (await runs(exec, argv, signal)) ? entry.source : null;
}

/** Built in, loaded, or a module that a mount will load. */
async function kernelHasBtrfs(ports: DriverPorts, signal: AbortSignal): Promise<boolean> {
  const known = (await ports.files.readText("/proc/filesystems")) ?? "";
  if (/\tbtrfs$/m.test(known)) return true;
  return runs(ports.exec, ["modprobe", "--dry-run", "btrfs"], signal);
}

async function runs(
  exec: Exec,
  argv: readonly [string, ...string[]],
  signal: AbortSignal,
): Promise<boolean> {
  try {
    return (await exec.run(argv, { timeoutMs: PROBE_TIMEOUT_MS }, signal)).code === 0;
  } catch (thrown) {
    // Not installed.
    if (thrown instanceof Failure && thrown.code === "failed_precondition") return false;
    throw thrown;
  }
}
