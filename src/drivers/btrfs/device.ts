import { Failure } from "../../core/failure.ts";
import type { MountEntry } from "../../core/ports/kernel.ts";
import type { DriverFacts, PoolHealth } from "../../core/ports/storage-driver.ts";
import type { DriverPorts } from "../shared/ports.ts";
import type { Backing } from "./backing.ts";
import { formatBtrfs } from "./format.ts";

const REALPATH_TIMEOUT_MS = 10_000;

/** A disk or partition that a person gave to the pool. */
export class Device implements Backing {
  readonly mountOptions: readonly string[] = [];
  readonly #device: string;
  readonly #ports: DriverPorts;

  constructor(device: string, ports: DriverPorts) {
    this.#device = device;
    this.#ports = ports;
  }

  async attach({ first }: { readonly first: boolean }, signal: AbortSignal): Promise<string> {
    if ((await this.#ports.files.stat(this.#device)) === undefined) {
      throw new Failure(
        "unavailable",
        `Cannot open the pool: its device ${this.#device} is not there; plug it in`,
      );
    }
    if (first) await this.#ensureFormatted(signal);
    return this.#device;
  }

  async isAttached(): Promise<boolean> {
    return true;
  }

  async owns({ source }: MountEntry, signal: AbortSignal): Promise<boolean> {
    if (source === this.#device) return true;
    return (await this.#realPath(source, signal)) === (await this.#realPath(this.#device, signal));
  }

  async release(): Promise<void> {}

  async health(): Promise<PoolHealth> {
    return { state: "up" };
  }

  facts(): DriverFacts {
    return { source: "device", device: this.#device, loopBacked: false };
  }

  /** Formats a device with nothing on it; one with btrfs is taken as it is. */
  async #ensureFormatted(signal: AbortSignal): Promise<void> {
    const argv = ["blkid", "--probe", "--output", "export", this.#device] as const;
    const options = { timeoutMs: REALPATH_TIMEOUT_MS };
    const { code, stdout } = await this.#ports.exec.run(argv, options, signal);
    // blkid(8): 2 when it recognizes nothing.
    if (code === 2) await formatBtrfs(this.#ports.exec, this.#device, signal);
    else if (!/^TYPE=btrfs$/m.test(stdout)) {
      const found = /^(?:PT)?TYPE=(.*)$/m.exec(stdout)?.[1] ?? "something unknown";
      throw new Failure(
        "failed_precondition",
        `Cannot open the pool on ${this.#device}: there is ${found} on it; give it an empty disk, or wipe this one (wipefs --all ${this.#device}) if that is of no worth`,
      );
    }
  }

  /** The device itself behind links such as those in /dev/disk; the path where there is none. */
  async #realPath(path: string, signal: AbortSignal): Promise<string> {
    const options = { timeoutMs: REALPATH_TIMEOUT_MS };
    const argv = ["realpath", "--canonicalize-existing", "--", path] as const;
    const { code, stdout } = await this.#ports.exec.run(argv, options, signal);
    return code === 0 ? stdout.replace(/\n$/, "") : path;
  }
}
