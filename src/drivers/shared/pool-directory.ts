import { Failure } from "../../core/failure.ts";
import type { FileSystemStat } from "../../core/ports/kernel.ts";
import type { PoolHealth, PoolSpace } from "../../core/ports/storage-driver.ts";
import { formatBytes } from "../../core/size.ts";
import { isReadOnly } from "./mount-of.ts";
import type { DriverPorts } from "./ports.ts";

/** Share of bytes or inodes left at which a person should look. */
const LOW_SHARE = 0.02;

/** What is known of a pool from before. */
export interface PoolPast {
  /** True when the pool has been up: what is missing now is lost or not mounted, and must not be made anew. */
  readonly opened: boolean;
}

/** A pool that is opened for the first time. */
export const NEVER_OPENED: PoolPast = { opened: false };

/** A pool's directory on a file system that is not ours. */
export class PoolDirectory {
  readonly path: string;
  readonly #ports: DriverPorts;
  readonly #past: PoolPast;

  /** @param path Canonical: mounts are found by it. */
  constructor(path: string, ports: DriverPorts, past: PoolPast) {
    this.path = path;
    this.#ports = ports;
    this.#past = past;
  }

  /** @throws {Failure} `unavailable` when it was there and is gone, or lies on a file system that takes no writes. */
  async open(): Promise<void> {
    if (this.#past.opened) await this.#ensureThere();
    await this.#ports.files.ensureDirectory(this.path, { mode: 0o711 });
    await this.#ensureWritable();
  }

  /** @throws {Failure} `unavailable` when what the first `open` made is gone, or takes no writes. */
  async ensureUp(): Promise<void> {
    await this.#ensureThere();
    await this.#ensureWritable();
  }

  async health(): Promise<PoolHealth> {
    try {
      await this.ensureUp();
    } catch (thrown) {
      return { state: "faulted", why: Failure.from(thrown).message };
    }
    return lowRoom(this.path, await this.#ports.kernel.statFileSystem(this.path));
  }

  async space(): Promise<PoolSpace> {
    const { totalBytes, availableBytes } = await this.#ports.kernel.statFileSystem(this.path);
    return { totalBytes, availableBytes };
  }

  async #ensureThere(): Promise<void> {
    if ((await this.#ports.files.stat(`${this.path}/layers`)) !== undefined) return;
    throw new Failure(
      "unavailable",
      `Cannot use the pool: its directory ${this.path}/layers is gone; mount the disk that it was on`,
    );
  }

  async #ensureWritable(): Promise<void> {
    const entry = await this.#ports.kernel.mountOf(this.path);
    if (entry === undefined || !isReadOnly(entry)) return;
    throw new Failure(
      "unavailable",
      `Cannot use the pool: the file system of ${this.path}, mounted at ${entry.mountPoint}, is read-only; see dmesg for why, repair it, then mount it again`,
    );
  }
}

/** A warning when a file system is nearly full. */
export function lowRoom(path: string, stat: FileSystemStat): PoolHealth {
  if (stat.availableBytes < stat.totalBytes * LOW_SHARE) {
    const left = `${formatBytes(stat.availableBytes)} of ${formatBytes(stat.totalBytes)}`;
    return { state: "warning", why: `Only ${left} are left at ${path}; delete files or add room` };
  }
  if (stat.availableInodes < stat.totalInodes * LOW_SHARE) {
    const left = `${stat.availableInodes} of ${stat.totalInodes}`;
    return { state: "warning", why: `Only ${left} files can be made at ${path}; delete some` };
  }
  return { state: "up" };
}
