import { Failure } from "../../core/failure.ts";
import type { SubvolumeInfo } from "../../core/ports/kernel.ts";
import type {
  DriverFacts,
  DriverTraits,
  LayerUsage,
  NewLayer,
  PoolHealth,
  PoolSpace,
} from "../../core/ports/storage-driver.ts";
import { flushFileSystem } from "../shared/flush.ts";
import type { DriverPorts } from "../shared/ports.ts";
import type { Trees } from "../shared/trees.ts";
import { AccountingFlags } from "./accounting-flags.ts";
import type { BtrfsPlace } from "./place.ts";

/**
 * Subvolumes, limited and counted by qgroups. Not by simple quotas: those charge bytes to the subvolume that first
 * wrote them, so they cannot say what removing one frees, nor let go of what only a snapshot still holds.
 */
export class BtrfsTrees implements Trees {
  readonly traits: DriverTraits;
  /** A commit of btrfs is of everything, and comes after all that was done before it or not at all. */
  readonly settlesNames = true;
  readonly #place: BtrfsPlace;
  readonly #ports: DriverPorts;
  readonly #flags: AccountingFlags;
  #root = "";

  constructor(place: BtrfsPlace, ports: DriverPorts) {
    this.#place = place;
    this.#ports = ports;
    this.#flags = new AccountingFlags(ports);
    this.traits = {
      sizeLimit: { errno: "EDQUOT" },
      liveSnapshots: "atomic",
      instantClones: true,
      layers: true,
      plainPaths: true,
      independentLayers: true,
      rootedClones: true,
      // Accounting costs the owner of a file system, so in somebody else's it waits for the first limit.
      instantUsage: place.ours,
    };
  }

  async open(signal: AbortSignal): Promise<string> {
    this.#root = await this.#place.open(signal);
    if (this.#place.ours) {
      await this.#ports.kernel.enableQuotas(this.#root);
      await this.#flags.keepExact(this.#root, signal);
    }
    return this.#root;
  }

  close(): Promise<void> {
    return this.#place.close();
  }

  ensureUp(): Promise<void> {
    return this.#place.ensureUp();
  }

  async health(): Promise<PoolHealth> {
    const health = await this.#place.health();
    if (health.state !== "up" || !(await this.#flags.isInconsistent(this.#root))) return health;
    return {
      state: "warning",
      why: `The accounting of the btrfs at ${this.#root} is inconsistent: size limits may not hold; run "btrfs quota rescan -w ${this.#root}"`,
    };
  }

  facts(): DriverFacts {
    return this.#place.facts();
  }

  async space(): Promise<PoolSpace> {
    const { totalBytes, availableBytes } = await this.#ports.kernel.statFileSystem(this.#root);
    return { totalBytes, availableBytes };
  }

  async create(path: string, { owner }: Pick<NewLayer, "owner">): Promise<void> {
    await this.#ports.kernel.createSubvolume(path);
    await this.#ports.files.perform([{ do: "setOwner", path, ...owner }]);
  }

  copy(source: string, target: string, options: { readonly readOnly: boolean }): Promise<void> {
    return this.#ports.kernel.snapshotSubvolume(source, target, options);
  }

  async seal(path: string): Promise<void> {
    const { readOnly } = await this.#get(path);
    if (!readOnly) await this.#ports.kernel.setSubvolumeReadOnly(path, true);
    await this.limit(path, null);
  }

  async limit(path: string, sizeBytes: number | null): Promise<void> {
    const { kernel } = this.#ports;
    if (sizeBytes === null) {
      const usage = await kernel.subvolumeUsage(path);
      if ((usage?.limitBytes ?? null) === null) return;
    }
    const set = () => kernel.limitSubvolume(path, sizeBytes);
    await set().catch(async (thrown: unknown) => {
      if (!(thrown instanceof Failure) || thrown.code !== "failed_precondition") throw thrown;
      // The accounting of somebody's btrfs waits for the first limit.
      await kernel.enableQuotas(this.#root);
      await set();
    });
  }

  async usage(path: string, signal: AbortSignal): Promise<LayerUsage> {
    const usage = await this.#ports.kernel.subvolumeUsage(path);
    if (usage !== undefined) {
      const { referencedBytes, exclusiveBytes } = usage;
      return { referencedBytes, exclusiveBytes };
    }
    const { allocatedBytes, sharedBytes } = await this.#ports.files.measureTree(path, signal);
    return { referencedBytes: allocatedBytes, exclusiveBytes: allocatedBytes - sharedBytes };
  }

  hasChanged(path: string, copy: string): Promise<boolean> {
    return this.#ports.kernel.hasSubvolumeChanged(path, copy);
  }

  async remove(path: string): Promise<void> {
    const found = await this.#ports.kernel.findSubvolume(path);
    if (found !== undefined) await this.#ports.kernel.removeSubvolume(path);
  }

  settle(): Promise<void> {
    return this.#ports.kernel.commitSubvolumes(this.#root);
  }

  /** A commit alone would not do: it takes along only what btrfs has already begun to write. */
  flush(path: string, signal: AbortSignal): Promise<void> {
    return flushFileSystem(this.#ports.files, path, signal);
  }

  async #get(path: string): Promise<SubvolumeInfo> {
    const found = await this.#ports.kernel.findSubvolume(path);
    if (found !== undefined) return found;
    throw new Failure("data_loss", `Cannot use the layer at ${path}: its subvolume is gone`);
  }
}
