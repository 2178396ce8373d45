import { Failure } from "../../core/failure.ts";
import type { MountEntry } from "../../core/ports/kernel.ts";
import type { DriverFacts, PoolHealth } from "../../core/ports/storage-driver.ts";
import { isReadOnly, mountOf } from "../shared/mount-of.ts";
import type { DriverPorts } from "../shared/ports.ts";
import type { Backing } from "./backing.ts";
import type { BtrfsPlace } from "./place.ts";

/** How often a device that detached itself is attached again. */
const ATTACH_LIMIT = 3;

/**
 * A btrfs of ours, mounted at `mnt` in the pool's directory.
 *
 * 1. Nothing is ever written to the bare directory: before each use the mount table must show at the mount point
 *    the very mount that `open` verified.
 * 2. The directory `mnt` is made only after the file system is: where it is, an empty backing means lost data, and
 *    is never formatted.
 */
export class Mounted implements BtrfsPlace {
  readonly ours = true;
  readonly #poolDirectory: string;
  readonly #mountPoint: string;
  readonly #backing: Backing;
  readonly #ports: DriverPorts;
  #verified: MountEntry | undefined;

  constructor(poolDirectory: string, backing: Backing, ports: DriverPorts) {
    this.#poolDirectory = poolDirectory;
    this.#mountPoint = `${poolDirectory}/mnt`;
    this.#backing = backing;
    this.#ports = ports;
  }

  async open(signal: AbortSignal): Promise<string> {
    const { files } = this.#ports;
    this.#verified = undefined;
    await files.ensureDirectory(this.#poolDirectory, { mode: 0o711 });
    const found = await this.#find();
    if (found === undefined) {
      await this.#mount(signal);
    } else {
      await this.#ensureOurs(found, signal);
      if (isReadOnly(found)) {
        // After an error btrfs stays read-only until nobody has it mounted any more.
        await this.#unmount();
        await this.#mount(signal);
      }
    }
    const entry = await this.#find();
    if (entry === undefined) throw this.#gone("it was mounted, but not at its mount point");
    await this.#ensureOurs(entry, signal);
    this.#ensureWritable(entry);
    this.#verified = entry;
    return this.#mountPoint;
  }

  async close(): Promise<void> {
    this.#verified = undefined;
    const entry = await this.#find();
    const signal = new AbortController().signal;
    if (entry !== undefined) {
      await this.#ensureOurs(entry, signal);
      await this.#unmount();
    }
    await this.#backing.release();
  }

  async ensureUp(): Promise<void> {
    const entry = await this.#find();
    if (entry === undefined) throw this.#gone("it is not mounted");
    const { device, source } = this.#verified ?? {};
    if (entry.device !== device || entry.source !== source || entry.type !== "btrfs") {
      throw this.#gone("something else is mounted there");
    }
    this.#ensureWritable(entry);
  }

  async health(): Promise<PoolHealth> {
    try {
      await this.ensureUp();
    } catch (thrown) {
      return { state: "faulted", why: Failure.from(thrown).message };
    }
    return this.#backing.health();
  }

  facts(): DriverFacts {
    return { ...this.#backing.facts(), mountPoint: this.#mountPoint };
  }

  async #mount(signal: AbortSignal): Promise<void> {
    const { files, kernel } = this.#ports;
    const first = (await files.stat(this.#mountPoint)) === undefined;
    // As Docker's own volumes: no nosuid and no nodev, containers may need such files.
    const options = ["noatime", "subvolid=5", ...this.#backing.mountOptions];
    for (let attempt = 1; ; attempt++) {
      const source = await this.#backing.attach({ first }, signal);
      signal.throwIfAborted();
      await files.ensureDirectory(this.#mountPoint, { mode: 0 });
      try {
        await kernel.mount({ type: "btrfs", source, target: this.#mountPoint, options });
        return;
      } catch (cause) {
        // A loop device found attached may just have been detaching itself after its last use.
        if (attempt < ATTACH_LIMIT && !(await this.#backing.isAttached())) continue;
        throw this.#notMounted(source, cause);
      }
    }
  }

  async #unmount(): Promise<void> {
    try {
      await this.#ports.kernel.unmount(this.#mountPoint);
    } catch (thrown) {
      const code = Failure.from(thrown).code;
      if (code !== "failed_precondition" && code !== "not_found") throw thrown;
    }
  }

  /** What is mounted at the mount point, whatever it is. */
  async #find(): Promise<MountEntry | undefined> {
    const entry = mountOf(this.#mountPoint, await this.#ports.kernel.mountTable());
    return entry?.mountPoint === this.#mountPoint ? entry : undefined;
  }

  async #ensureOurs(entry: MountEntry, signal: AbortSignal): Promise<void> {
    if (entry.type === "btrfs" && entry.root === "/" && (await this.#backing.owns(entry, signal))) {
      return;
    }
    throw new Failure(
      "failed_precondition",
      `Cannot use ${this.#mountPoint} for the pool: ${entry.source} (${entry.type}) is mounted there; unmount it`,
    );
  }

  #ensureWritable(entry: MountEntry): void {
    if (!isReadOnly(entry)) return;
    throw this.#gone(
      "it is read-only, as after an error of the disk under it, or when that is full; see dmesg, make room, then stop the containers that use its volumes: it comes back by itself",
    );
  }

  #notMounted(source: string, cause: unknown): Failure {
    return new Failure(
      "unavailable",
      `Cannot mount the pool's btrfs on ${source} at ${this.#mountPoint}: ${Failure.from(cause).message}; see dmesg. After an error, as when the disk under it was full, it can be mounted again only when no container has its volumes any more: stop them`,
      { cause },
    );
  }

  #gone(why: string): Failure {
    return new Failure("unavailable", `Cannot use the pool at ${this.#mountPoint}: ${why}`);
  }
}
