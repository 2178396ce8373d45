import { Failure } from "../../core/failure.ts";
import type { DriverFacts, PoolHealth } from "../../core/ports/storage-driver.ts";
import { PoolDirectory, type PoolPast } from "../shared/pool-directory.ts";
import type { DriverPorts } from "../shared/ports.ts";
import type { BtrfsPlace } from "./place.ts";

/** A directory on somebody's btrfs. */
export class HostDirectory implements BtrfsPlace {
  readonly ours = false;
  readonly #pool: PoolDirectory;
  readonly #ports: DriverPorts;

  constructor(poolDirectory: string, ports: DriverPorts, past: PoolPast) {
    this.#pool = new PoolDirectory(poolDirectory, ports, past);
    this.#ports = ports;
  }

  async open(): Promise<string> {
    await this.#pool.open();
    const { type } = await this.#ports.kernel.statFileSystem(this.#pool.path);
    if (type === "btrfs") return this.#pool.path;
    throw new Failure(
      "failed_precondition",
      `Cannot open the btrfs pool in ${this.#pool.path}: that directory is on ${type}; give the pool a directory on btrfs, a disk (device=/dev/…) or a loop file (size=…)`,
    );
  }

  async close(): Promise<void> {}

  ensureUp(): Promise<void> {
    return this.#pool.ensureUp();
  }

  health(): Promise<PoolHealth> {
    return this.#pool.health();
  }

  facts(): DriverFacts {
    return { source: "directory", directory: this.#pool.path, loopBacked: false };
  }
}
