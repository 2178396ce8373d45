import { Failure } from "../../core/failure.ts";
import type {
  DriverFacts,
  DriverTraits,
  LayerUsage,
  NewLayer,
  PoolHealth,
  PoolSpace,
} from "../../core/ports/storage-driver.ts";
import { flushFileSystem } from "../shared/flush.ts";
import { PoolDirectory, type PoolPast } from "../shared/pool-directory.ts";
import type { DriverPorts } from "../shared/ports.ts";
import type { CopyOptions, Trees } from "../shared/trees.ts";

/** Plain directories on any file system. */
export class DirectoryTrees implements Trees {
  readonly traits: DriverTraits = {
    sizeLimit: false,
    liveSnapshots: "per-file",
    instantClones: false,
    layers: true,
    plainPaths: true,
    independentLayers: true,
    instantUsage: false,
  };
  readonly settlesNames = false;
  readonly #pool: PoolDirectory;
  readonly #ports: DriverPorts;
  #fileSystem = "unknown";

  constructor(poolDirectory: string, ports: DriverPorts, past: PoolPast) {
    this.#pool = new PoolDirectory(poolDirectory, ports, past);
    this.#ports = ports;
  }

  async open(): Promise<string> {
    await this.#pool.open();
    this.#fileSystem = (await this.#ports.kernel.statFileSystem(this.#pool.path)).type;
    return this.#pool.path;
  }

  async close(): Promise<void> {}

  ensureUp(): Promise<void> {
    return this.#pool.ensureUp();
  }

  health(): Promise<PoolHealth> {
    return this.#pool.health();
  }

  facts(): DriverFacts {
    return { source: "directory", directory: this.#pool.path, fileSystem: this.#fileSystem };
  }

  space(): Promise<PoolSpace> {
    return this.#pool.space();
  }

  async create(
    path: string,
    { owner: { uid, gid, mode } }: Pick<NewLayer, "owner">,
  ): Promise<void> {
    await this.#ports.files.makeDirectory(path, { mode, uid, gid });
    await this.#ports.files.syncDirectory(path);
  }

  /** A view or a snapshot is read-only by its mount: nobody is given its directory for writing. */
  copy(
    source: string,
    target: string,
    { progress }: CopyOptions,
    signal: AbortSignal,
  ): Promise<void> {
    return this.#ports.files.copyTree(source, target, signal, progress);
  }

  async limit(): Promise<void> {
    throw new Failure("unimplemented", "Cannot limit a layer: this driver has no size limits");
  }

  async seal(): Promise<void> {}

  async usage(path: string, signal: AbortSignal): Promise<LayerUsage> {
    const { allocatedBytes, sharedBytes } = await this.#ports.files.measureTree(path, signal);
    return { referencedBytes: allocatedBytes, exclusiveBytes: allocatedBytes - sharedBytes };
  }

  remove(path: string, signal: AbortSignal): Promise<void> {
    return this.#ports.files.removeTree(path, signal);
  }

  /** Files does each of these durably by itself. */
  async settle(): Promise<void> {}

  flush(path: string, signal: AbortSignal): Promise<void> {
    return flushFileSystem(this.#ports.files, path, signal);
  }
}
