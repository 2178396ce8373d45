import { Failure } from "../../core/failure.ts";
import type { LayerId } from "../../core/id.ts";
import type {
  DriverFacts,
  DriverTraits,
  LayerInfo,
  LayerMount,
  LayerUsage,
  MakeHow,
  NewLayer,
  PoolHealth,
  PoolSpace,
  StorageDriver,
} from "../../core/ports/storage-driver.ts";
import {
  ensureActive,
  ensureFound,
  ensureSame,
  exists,
  isCommitOf,
} from "../shared/layer-rules.ts";
import type { DriverOptions } from "../shared/options.ts";
import { lowRoom, NEVER_OPENED, type PoolPast } from "../shared/pool-directory.ts";
import type { DriverPorts } from "../shared/ports.ts";
import { ensureBase } from "./base.ts";
import type { ZfsLayer } from "./book.ts";
import { ZfsCommands } from "./commands.ts";
import { Datasets } from "./datasets.ts";
import { GivenDataset } from "./given-dataset.ts";
import { Making } from "./making.ts";
import { ANCHOR, Mounts } from "./mounts.ts";
import { parseZfsOptions } from "./options.ts";
import { parseHealth } from "./parse.ts";
import type { ZfsPlace } from "./place.ts";
import { VdevFile } from "./vdev-file.ts";

/**
 * A pool of ZFS datasets. `poolDirectory` is canonical and absolute.
 *
 * @throws {Failure} `invalid_argument` for options that {@link parseZfsOptions} refuses.
 */
export function createZfsDriver(
  poolDirectory: string,
  options: DriverOptions,
  ports: DriverPorts,
  past: PoolPast = NEVER_OPENED,
): StorageDriver {
  const source = parseZfsOptions(options);
  const zfs = new ZfsCommands(ports.exec);
  const place =
    source.kind === "dataset"
      ? new GivenDataset(source.dataset, poolDirectory, ports, zfs, past)
      : new VdevFile(poolDirectory, source, ports, zfs, past);
  return new ZfsDriver(place, `${poolDirectory}/mnt`, ports, zfs, past);
}

/** Layers as datasets and snapshots of them; see `datasets.ts`. */
class ZfsDriver implements StorageDriver {
  readonly traits: DriverTraits = {
    sizeLimit: { errno: "EDQUOT" },
    liveSnapshots: "atomic",
    instantClones: true,
    layers: true,
    plainPaths: true,
    independentLayers: true,
    instantUsage: true,
  };
  readonly #place: ZfsPlace;
  readonly #directory: string;
  readonly #ports: DriverPorts;
  readonly #zfs: ZfsCommands;
  readonly #past: PoolPast;
  readonly #mounts: Mounts;
  readonly #datasets: Datasets;
  readonly #making: Making;
  #open = false;
  /** How often it was opened. */
  #opened = 0;
  #closedBecause = "it is not open";

  constructor(
    place: ZfsPlace,
    directory: string,
    ports: DriverPorts,
    zfs: ZfsCommands,
    past: PoolPast,
  ) {
    this.#place = place;
    this.#directory = directory;
    this.#ports = ports;
    this.#zfs = zfs;
    this.#past = past;
    this.#mounts = new Mounts(place.dataset, directory, ports, zfs);
    this.#datasets = new Datasets(place.dataset, zfs, this.#mounts);
    this.#making = new Making(this.#datasets, this.#mounts, ports);
  }

  async open(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (await this.#serves(signal)) return;
    try {
      await this.#mounts.clearDead();
      await this.#place.open(signal);
      await this.#ensureRuns(signal);
      await ensureBase(this.#zfs, this.#place.dataset, this.#directory, this.#past, signal);
      await this.#ports.files.ensureDirectory(this.#directory, { mode: 0o711 });
      await this.#mounts.ensure(ANCHOR, signal);
      this.#datasets.forget();
      await this.#making.clearLeftovers(signal);
      this.#open = true;
      this.#opened++;
    } catch (thrown) {
      this.#open = false;
      this.#closedBecause =
        thrown instanceof Failure ? thrown.message : "opening it was broken off";
      throw thrown;
    }
  }

  async close(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#open = false;
    this.#closedBecause = "it was closed";
    if (await this.#mounts.releaseAll()) await this.#place.close(signal);
  }

  async health(signal: AbortSignal): Promise<PoolHealth> {
    signal.throwIfAborted();
    if (!this.#open) return { state: "faulted", why: this.#closedBecause };
    try {
      await this.#mounts.ensureUp();
      const health = await this.#poolHealth(signal);
      if (health.state !== "up") return health;
    } catch (thrown) {
      return { state: "faulted", why: Failure.from(thrown).message };
    }
    const below = await this.#place.health();
    if (below.state !== "up") return below;
    const damaged = (await this.#datasets.read(signal)).damaged();
    const lost = `The property lagan:layer of these datasets is damaged: ${damaged.join(", ")}; mend or destroy them`;
    const why = damaged.length > 0 ? lost : this.#making.stuck;
    if (why !== undefined) return { state: "warning", why };
    return lowRoom(this.#directory, await this.#mounts.stat());
  }

  facts(): DriverFacts {
    return { ...this.#place.facts(), mountPoint: this.#directory };
  }

  async space(signal: AbortSignal): Promise<PoolSpace> {
    await this.#up(signal);
    const { totalBytes, availableBytes } = await this.#mounts.stat();
    return { totalBytes, availableBytes };
  }

  async prepare(layer: LayerId, options: NewLayer, signal: AbortSignal): Promise<void> {
    const { parent, sizeBytes, owner, recorded } = options;
    const attempt = `Cannot prepare layer ${layer}`;
    await this.#up(signal);
    const book = await this.#datasets.read(signal);
    await recorded;
    const found = book.find(layer);
    if (found !== undefined) {
      ensureSame(attempt, found.info, "active", parent);
      await this.#limit(attempt, found, sizeBytes, signal);
      return;
    }
    if (parent === null) await this.#making.empty(layer, sizeBytes, owner, signal);
    else {
      const options = { layer, parent, state: "active", sizeBytes } as const;
      await this.#making.fromParent(attempt, options, signal);
    }
  }

  async view(layer: LayerId, parent: LayerId, signal: AbortSignal): Promise<void> {
    const attempt = `Cannot make view ${layer}`;
    await this.#up(signal);
    const found = (await this.#datasets.read(signal)).find(layer);
    if (found !== undefined) return ensureSame(attempt, found.info, "view", parent);
    const options = { layer, parent, state: "view", sizeBytes: null } as const;
    await this.#making.fromParent(attempt, options, signal);
  }

  /** What a snapshot takes along is in memory first: a power cut before it is taken must not have the content of before. */
  async beginCommit(active: LayerId, as: LayerId, signal: AbortSignal): Promise<boolean> {
    const attempt = `Cannot commit layer ${active} as ${as}`;
    await this.#up(signal);
    ensureActive(attempt, (await this.#datasets.read(signal)).find(active));
    const [mount] = await this.mounts(active, { readOnly: false }, signal);
    if (mount?.type === "bind") await this.#ports.files.syncFileSystem(mount.source);
    return false;
  }

  async commit(active: LayerId, as: LayerId, signal: AbortSignal): Promise<void> {
    const attempt = `Cannot commit layer ${active} as ${as}`;
    await this.#up(signal);
    const book = await this.#datasets.read(signal);
    const [before, after] = [book.find(active), book.find(as)];
    if (after === undefined) {
      const { head, info } = ensureActive(attempt, before);
      // Who has it mounted could go on writing, whatever ZFS says of new writers.
      await this.#mounts.release(head.name, attempt);
      signal.throwIfAborted();
      const property = { state: "committed", id: as, first: active, parent: info.parent } as const;
      await this.#datasets.describe(head.name, property, signal);
      await this.#datasets.seal(head, signal);
    } else if (before !== undefined || !isCommitOf(after, active)) {
      throw exists(attempt, as);
    } else if (after.snapshot === null) await this.#datasets.seal(after.head, signal);
  }

  async snapshot(active: LayerId, as: LayerId, signal: AbortSignal, how?: MakeHow): Promise<void> {
    const attempt = `Cannot snapshot layer ${active} as ${as}`;
    await this.#up(signal);
    const book = await this.#datasets.read(signal);
    await how?.recorded;
    const after = book.find(as);
    if (after !== undefined) {
      if (isCommitOf(after, active)) return;
      throw exists(attempt, as);
    }
    const { head } = ensureActive(attempt, book.find(active));
    await this.#datasets.snapshot(head, as, signal);
  }

  async remove(layer: LayerId, signal: AbortSignal): Promise<void> {
    const attempt = `Cannot remove layer ${layer}`;
    await this.#up(signal);
    const opened = this.#opened;
    await this.#making.remove(attempt, layer, signal);
    // Absent may have been the whole ZFS pool.
    await this.#up(signal);
    if (this.#opened === opened) return;
    throw new Failure("unavailable", `${attempt}: the pool was opened again meanwhile; try again`);
  }

  async mounts(
    layer: LayerId,
    options: { readonly readOnly: boolean },
    signal: AbortSignal,
  ): Promise<readonly LayerMount[]> {
    const attempt = `Cannot mount layer ${layer}`;
    await this.#up(signal);
    const found = ensureFound(attempt, (await this.#datasets.read(signal)).find(layer));
    const { head, snapshot, info } = found;
    if (info.kind === "committed" && !options.readOnly) {
      throw new Failure("failed_precondition", `${attempt} for writing: it is committed`);
    }
    const readOnly = options.readOnly || info.kind === "view";
    const name = snapshot === null ? head.name : await this.#making.reader(found, layer, signal);
    const source = await this.#mounts.content(name, signal);
    return [{ type: "bind", source, options: readOnly ? ["ro"] : [] }];
  }

  async usage(layer: LayerId, signal: AbortSignal): Promise<LayerUsage> {
    const attempt = `Cannot count layer ${layer}`;
    await this.#up(signal);
    const { head, snapshot } = ensureFound(
      attempt,
      (await this.#datasets.read(signal)).find(layer),
    );
    const name = snapshot === null ? head.name : `${head.name}@${snapshot}`;
    return this.#datasets.usage(name, signal);
  }

  async resize(layer: LayerId, sizeBytes: number | null, signal: AbortSignal): Promise<void> {
    const attempt = `Cannot set the size limit of layer ${layer}`;
    await this.#up(signal);
    const found = ensureActive(attempt, (await this.#datasets.read(signal)).find(layer));
    await this.#limit(attempt, found, sizeBytes, signal);
  }

  async changedSince(active: LayerId, since: LayerId, signal: AbortSignal): Promise<boolean> {
    const attempt = `Cannot compare layer ${active} with ${since}`;
    await this.#up(signal);
    const book = await this.#datasets.read(signal);
    const { head } = ensureActive(attempt, book.find(active));
    const { snapshot } = ensureFound(attempt, book.find(since));
    return snapshot === null || this.#datasets.hasChanged(head.name, snapshot, signal);
  }

  async list(signal: AbortSignal): Promise<readonly LayerInfo[]> {
    await this.#up(signal);
    return (await this.#datasets.read(signal)).layers().map(({ info }) => info);
  }

  async #limit(
    attempt: string,
    { info, head }: ZfsLayer,
    sizeBytes: number | null,
    signal: AbortSignal,
  ): Promise<void> {
    if (info.sizeBytes === sizeBytes) return;
    // ZFS compares with what it has written to disk, not with what it is about to write.
    if (sizeBytes !== null) await this.#datasets.settle(signal);
    await this.#datasets.limit(head.name, sizeBytes, attempt, signal);
  }

  /** What ZFS says of its pool. */
  async #poolHealth(signal: AbortSignal): Promise<PoolHealth> {
    const [pool = ""] = this.#place.dataset.split("/");
    const argv = ["zpool", "status", pool] as const;
    return parseHealth(pool, await this.#zfs.run(`Cannot look at ${pool}`, argv, signal));
  }

  /** @throws {Failure} `unavailable` when ZFS has stopped its pool. */
  async #ensureRuns(signal: AbortSignal): Promise<void> {
    const health = await this.#poolHealth(signal);
    if (health.state === "faulted") throw new Failure("unavailable", health.why);
  }

  /** True when it is open and its storage is up: an open again then disturbs no call that is under way. */
  async #serves(signal: AbortSignal): Promise<boolean> {
    if (!this.#open) return false;
    try {
      await this.#mounts.ensureUp();
      await this.#ensureRuns(signal);
      return true;
    } catch {
      return false;
    }
  }

  async #up(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#ensureOpen();
    await this.#mounts.ensureUp();
    // Meanwhile it may have been closed, or an open may have failed.
    this.#ensureOpen();
  }

  #ensureOpen(): void {
    if (this.#open) return;
    throw new Failure("unavailable", `Cannot use the pool: ${this.#closedBecause}`);
  }
}
