import { Failure } from "../../core/failure.ts";
import type { FileSystemStat, MountEntry, MountNamespace } from "../../core/ports/kernel.ts";
import { CONTENT_DIRECTORY } from "../shared/layer-record.ts";
import { isReadOnly, mountOf } from "../shared/mount-of.ts";
import type { DriverPorts } from "../shared/ports.ts";
import type { ZfsCommands } from "./commands.ts";
import { reasonOf } from "./parse.ts";

/** Name of the dataset that is mounted while the pool is up: it shows that ZFS serves. */
export const ANCHOR = "anchor";

const TYPES: readonly string[] = ["zfs", "fuse.zfs"];

/**
 * Where a pool's datasets are mounted: each at its name in one directory, which is never itself a mount.
 *
 * 1. A path is answered only when the mount table shows the very dataset there.
 * 2. What somebody else has mounted too is never unmounted: zfs-fuse could not mount it again before they let go.
 */
export class Mounts {
  readonly #base: string;
  readonly #directory: string;
  readonly #ports: DriverPorts;
  readonly #zfs: ZfsCommands;

  /** @param base The pool's dataset. @param directory Canonical and absolute; the datasets' mountpoints are in it. */
  constructor(base: string, directory: string, ports: DriverPorts, zfs: ZfsCommands) {
    this.#base = base;
    this.#directory = directory;
    this.#ports = ports;
    this.#zfs = zfs;
  }

  /** @throws {Failure} `unavailable` when the pool's datasets are not there, or take no writes. */
  async ensureUp(): Promise<void> {
    const path = this.#pathOf(ANCHOR);
    const entry = await this.#find(ANCHOR);
    if (entry === undefined) throw this.#down(`${this.#base}/${ANCHOR} is not mounted at ${path}`);
    if (isReadOnly(entry)) throw this.#down(`${path} is read-only; see dmesg and zpool status`);
    if (!(await this.#isAlive(path))) {
      throw this.#down("zfs-fuse has ended, and every mount of it is dead; start it again");
    }
  }

  /** Room of the pool. */
  stat(): Promise<FileSystemStat> {
    return this.#ports.kernel.statFileSystem(this.#pathOf(ANCHOR));
  }

  /** The path at which the dataset is mounted, now if it was not. @throws {Failure} `unavailable`. */
  async ensure(name: string, signal: AbortSignal): Promise<string> {
    const path = this.#pathOf(name);
    const entry = await this.#find(name);
    if (entry !== undefined) {
      if (await this.#isAlive(path)) return path;
      await this.#ports.kernel.unmount(path);
    }
    try {
      const argv = ["zfs", "mount", `${this.#base}/${name}`] as const;
      await this.#zfs.runPatiently(`Cannot mount dataset ${name}`, argv, signal);
    } catch (thrown) {
      // Versions differ in whether a new dataset with canmount=noauto is mounted.
      if (reasonOf(thrown) !== "present") throw thrown;
    }
    if ((await this.#find(name)) !== undefined) return path;
    throw this.#down(`${this.#base}/${name} was mounted, but not at ${path}`);
  }

  /** The path of a layer's content in a mounted dataset. @throws {Failure} `data_loss` when it is gone. */
  async content(name: string, signal: AbortSignal): Promise<string> {
    const path = `${await this.ensure(name, signal)}/${CONTENT_DIRECTORY}`;
    if ((await this.#ports.files.stat(path)) !== undefined) return path;
    throw new Failure("data_loss", `Cannot use dataset ${this.#base}/${name}: ${path} is gone`);
  }

  /**
   * Unmounts the dataset. Not mounted is success.
   *
   * @throws {Failure} `failed_precondition` when this host or a container uses it. Other mount namespaces are copies of
   *   ours, most of them: they may keep it busy, and use nothing.
   */
  async release(name: string, attempt: string): Promise<void> {
    const entry = await this.#find(name);
    if (entry === undefined) return;
    const uses = ({ own, containerId }: MountNamespace): boolean => own || containerId !== null;
    const holder = await this.#findHolder([entry], uses);
    if (holder !== undefined) {
      throw new Failure("failed_precondition", `${attempt}: ${holder} has it mounted; unmount it`);
    }
    await this.#ports.kernel.unmount(this.#pathOf(name));
  }

  /**
   * Who keeps a dataset busy that we have unmounted, in words: a mount namespace that was copied from ours meanwhile, and
   * to which our unmount did not come.
   */
  async findLeak(name: string): Promise<string | undefined> {
    for (const namespace of await this.#ports.kernel.mountNamespaces()) {
      const held = namespace.entries.find(
        ({ type, source }) => TYPES.includes(type) && source === `${this.#base}/${name}`,
      );
      if (held !== undefined) return describe(namespace, held);
    }
    return undefined;
  }

  /** Unmounts everything, unless something of it is in use: then nothing. Answers whether nothing is mounted now. */
  async releaseAll(): Promise<boolean> {
    const entries = await this.#all();
    if ((await this.#findHolder(entries)) !== undefined) return false;
    for (const { mountPoint } of entries) {
      try {
        await this.#ports.kernel.unmount(mountPoint);
      } catch (thrown) {
        const { code } = Failure.from(thrown);
        if (code !== "failed_precondition" && code !== "not_found") throw thrown;
      }
    }
    return (await this.#all()).length === 0;
  }

  /** Takes away mounts of a zfs-fuse that has ended; a new one mounts nothing on top of them. */
  async clearDead(): Promise<void> {
    for (const { mountPoint } of await this.#all()) {
      if (!(await this.#isAlive(mountPoint))) await this.#ports.kernel.unmount(mountPoint);
    }
  }

  #pathOf(name: string): string {
    return `${this.#directory}/${name}`;
  }

  /** @throws {Failure} `failed_precondition` when something else is mounted there. */
  async #find(name: string): Promise<MountEntry | undefined> {
    const path = this.#pathOf(name);
    const entry = mountOf(path, await this.#ports.kernel.mountTable());
    if (entry?.mountPoint !== path) return undefined;
    if (TYPES.includes(entry.type) && entry.source === `${this.#base}/${name}`) return entry;
    throw this.#down(`${entry.source} (${entry.type}) is mounted at ${path}; unmount it`);
  }

  /** Newest first. */
  async #all(): Promise<readonly MountEntry[]> {
    const table = await this.#ports.kernel.mountTable();
    return table
      .filter(({ type, source, mountPoint }) => {
        const name = mountPoint.slice(this.#directory.length + 1);
        return (
          TYPES.includes(type) && mountPoint === this.#pathOf(name) && source.endsWith(`/${name}`)
        );
      })
      .reverse();
  }

  /** Somebody who has one of these mounted elsewhere, in words. */
  async #findHolder(
    entries: readonly MountEntry[],
    counts: (namespace: MountNamespace) => boolean = () => true,
  ): Promise<string | undefined> {
    const devices = new Set(entries.map(({ device }) => device));
    const points = new Set(entries.map(({ mountPoint }) => mountPoint));
    for (const namespace of await this.#ports.kernel.mountNamespaces()) {
      if (!counts(namespace)) continue;
      const held = namespace.entries.find(
        ({ device, mountPoint }) => devices.has(device) && !points.has(mountPoint),
      );
      if (held !== undefined) return describe(namespace, held);
    }
    return undefined;
  }

  /** A mount of a FUSE whose process has ended answers ENOTCONN to everything. */
  async #isAlive(path: string): Promise<boolean> {
    try {
      await this.#ports.files.list(path);
      return true;
    } catch (thrown) {
      if (Failure.from(thrown).code === "unknown") return false;
      throw thrown;
    }
  }

  #down(why: string): Failure {
    return new Failure("unavailable", `Cannot use the ZFS pool of ${this.#base}: ${why}`);
  }
}

function describe({ own, containerId, command, pid }: MountNamespace, held: MountEntry): string {
  if (own) return `this host, at ${held.mountPoint},`;
  if (containerId !== null) return `container ${containerId.slice(0, 12)}`;
  return `process ${pid} (${command})`;
}
