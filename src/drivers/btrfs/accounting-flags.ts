import type { MountEntry } from "../../core/ports/kernel.ts";
import { mountOf } from "../shared/mount-of.ts";
import type { DriverPorts } from "../shared/ports.ts";

const SYSFS = "/sys/fs/btrfs";
const WRITE_TIMEOUT_MS = 10_000;
/** Deepest that a tree can be (BTRFS_MAX_LEVEL): as a threshold, never. */
const NEVER_LEVEL = "8";

/** What the kernel says of a btrfs's qgroups in sysfs, where it says anything. */
export class AccountingFlags {
  readonly #ports: DriverPorts;
  readonly #directories = new Map<string, string>();

  constructor(ports: DriverPorts) {
    this.#ports = ports;
  }

  /**
   * Keeps accounting going when a large subvolume is removed. Linux since 6.13 (seen in 6.18) gives up accounting
   * (inconsistent, no limits until a rescan) when a removed tree has 3 levels or more that others share.
   */
  async keepExact(root: string, signal: AbortSignal): Promise<void> {
    const { files, exec } = this.#ports;
    const directory = await this.#find(root);
    if (directory === undefined) return;
    const threshold = `${directory}/drop_subtree_threshold`;
    const level = await files.readText(threshold);
    if (level === undefined || level.trim() === NEVER_LEVEL) return;
    const wanted = `${root}/.subtree-threshold`;
    await files.writeText(wanted, `${NEVER_LEVEL}\n`);
    const argv = ["dd", `if=${wanted}`, `of=${threshold}`, "conv=notrunc", "status=none"] as const;
    await exec.run(argv, { timeoutMs: WRITE_TIMEOUT_MS }, signal);
    await files.remove(wanted);
  }

  /** True when limits may not hold until a rescan. */
  async isInconsistent(root: string): Promise<boolean> {
    const directory = await this.#find(root);
    if (directory === undefined) return false;
    return (await this.#ports.files.readText(`${directory}/inconsistent`))?.trim() === "1";
  }

  /** The sysfs directory of the btrfs at `root`, found by its device. */
  async #find(root: string): Promise<string | undefined> {
    const { files, kernel } = this.#ports;
    const entry: MountEntry | undefined = mountOf(root, await kernel.mountTable());
    const device = /^\/dev\/([^/]+)$/.exec(entry?.source ?? "")?.[1];
    if (device === undefined || (await files.stat(SYSFS)) === undefined) return undefined;
    const known = this.#directories.get(device);
    if (known !== undefined && (await files.stat(known)) !== undefined) return known;
    for (const fileSystem of await files.list(SYSFS)) {
      if ((await files.stat(`${SYSFS}/${fileSystem}/devices/${device}`)) === undefined) continue;
      const directory = `${SYSFS}/${fileSystem}/qgroups`;
      this.#directories.set(device, directory);
      return directory;
    }
    return undefined;
  }
}
