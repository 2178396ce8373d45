import { Failure } from "../../core/failure.ts";
import { isId, type LayerId } from "../../core/id.ts";
import type { FileStat } from "../../core/ports/files.ts";
import type { FrozenImage, MountEntry } from "../../core/ports/kernel.ts";
import type {
  DriverFacts,
  DriverTraits,
  LayerMount,
  LayerUsage,
  NewLayer,
  PoolHealth,
  PoolSpace,
} from "../../core/ports/storage-driver.ts";
import { formatBytes } from "../../core/size.ts";
import type { Seat } from "../../core/together.ts";
import { describeLayer, parseLayerRecord, RECORD_FILE } from "../shared/layer-record.ts";
import { isBroken } from "../shared/mount-of.ts";
import { PoolDirectory, type PoolPast } from "../shared/pool-directory.ts";
import type { DriverPorts } from "../shared/ports.ts";
import { canCloneFiles } from "../shared/reflink.ts";
import { sparseRoom } from "../shared/sparse-room.ts";
import type { CopyOptions, Trees } from "../shared/trees.ts";
import { BlockImages } from "./block-images.ts";
import { work } from "./command.ts";
import { FILE_SYSTEMS, type ImageFileSystem } from "./file-systems.ts";
import { ImageMounts } from "./image-mounts.ts";
import { ImageSize } from "./image-size.ts";
import type { LoopOptions } from "./options.ts";

/** The directory in an image that is the layer's root: beside `lost+found`, so that an empty layer is empty. */
const ROOT = "_data";
/** Share of the host's room left at which it is counted what images may still want. */
const ROOM_SHARE = 0.1;

/**
 * Image files, each with a file system in it that nobody sees but through a loop device. The size of the file is the
 * size limit. A sealed image has an empty journal, so it can be read without a write.
 */
export class LoopTrees implements Trees {
  readonly contentName = "disk.img";
  /** Files makes every name durable by itself. */
  readonly settlesNames = false;
  readonly #options: LoopOptions;
  readonly #fileSystem: ImageFileSystem;
  readonly #ports: DriverPorts;
  readonly #pool: PoolDirectory;
  readonly #blocks: BlockImages;
  readonly #mounts: ImageMounts;
  readonly #size: ImageSize;
  #reflink = false;
  #host = "unknown";

  constructor(pool: string, options: LoopOptions, ports: DriverPorts, past: PoolPast) {
    this.#options = options;
    this.#fileSystem = FILE_SYSTEMS[options.type];
    this.#ports = ports;
    this.#pool = new PoolDirectory(pool, ports, past);
    this.#blocks = new BlockImages(ports);
    this.#mounts = new ImageMounts(pool, options.type, this.#fileSystem, ports);
    const copy = (source: string, target: string): Promise<void> => this.#copy(source, target);
    const inside = { blocks: this.#blocks, mounts: this.#mounts };
    this.#size = new ImageSize(options, inside, copy, ports);
  }

  get traits(): DriverTraits {
    return {
      sizeLimit: { errno: "ENOSPC" },
      // Without shared bytes the file system would be frozen for as long as the copy takes.
      liveSnapshots: this.#reflink ? "frozen" : false,
      instantClones: this.#reflink,
      ...(this.#reflink && { joinedSnapshots: true }),
      layers: true,
      independentLayers: true,
      plainPaths: false,
      instantUsage: true,
      blockDevices: { defaultBytes: this.#options.sizeBytes },
    };
  }

  async open(): Promise<string> {
    await this.#pool.open();
    this.#host = (await this.#ports.kernel.statFileSystem(this.#pool.path)).type;
    this.#reflink = await canCloneFiles(this.#pool.path, this.#ports);
    await this.#mounts.open();
    return this.#pool.path;
  }

  async close(): Promise<void> {}

  ensureUp(): Promise<void> {
    return this.#pool.ensureUp();
  }

  async health(): Promise<PoolHealth> {
    const health = await this.#pool.health();
    if (health.state === "faulted") return health;
    const broken = await this.#mounts.findBroken();
    if (broken !== undefined) {
      return {
        state: "warning",
        why: `The file system of the volume at ${broken.mountPoint} turned read-only, as after an error of the disk under it, or when that is full; see dmesg, make room, then stop the containers that use it and start them again`,
      };
    }
    if (health.state !== "up") return health;
    const why = this.#mounts.stuck;
    return why === undefined ? this.#room() : { state: "warning", why };
  }

  facts(): DriverFacts {
    const { path: directory } = this.#pool;
    const { type } = this.#options;
    const [fileSystem, reflink] = [this.#host, this.#reflink];
    return { source: "images", directory, fileSystem, imageFileSystem: type, reflink };
  }

  space(): Promise<PoolSpace> {
    return this.#pool.space();
  }

  async create(
    path: string,
    { owner, sizeBytes, block = false }: Pick<NewLayer, "owner" | "sizeBytes" | "block">,
  ): Promise<void> {
    const { files, exec } = this.#ports;
    const attempt = `Cannot make the image ${path}`;
    const imageBytes = sizeBytes ?? this.#options.sizeBytes;
    if (block) {
      await this.#blocks.mark(path);
      await files.createSparse(path, imageBytes);
      return;
    }
    const { minBytes } = this.#fileSystem;
    if (imageBytes < minBytes) {
      throw new Failure(
        "out_of_range",
        `Cannot make a volume of ${formatBytes(imageBytes)}: ${this.#options.type} in an image needs at least ${formatBytes(minBytes)}`,
      );
    }
    await files.createSparse(path, imageBytes);
    await this.#fileSystem.format(exec, attempt, path, imageBytes);
    await this.#mounts.withMounted(path, (at) => files.makeDirectory(`${at}/${ROOT}`, owner));
    await work(exec, attempt, ["sync", path]);
  }

  async copy(
    source: string,
    target: string,
    options: Pick<CopyOptions, "live" | "seat">,
    signal: AbortSignal,
  ): Promise<void> {
    const block = await this.#blocks.has(source);
    if (block) await this.#blocks.mark(target);
    if (options.live !== true) return this.#copy(source, target, signal);
    if (block) return this.#copyDevice(source, target, options.seat, signal);
    const entry = await this.#mounts.find(source);
    const where = entry === undefined ? source : `what is mounted at ${entry.mountPoint}`;
    const attempt = `Cannot take a snapshot of ${where}`;
    if (entry !== undefined && isBroken(entry)) {
      throw new Failure("failed_precondition", `${attempt}: it is read-only after an error`);
    }
    if (this.#reflink) return this.#copyFrozen(entry, source, target, options.seat);
    if (entry !== undefined) {
      throw new Failure(
        "failed_precondition",
        `${attempt}: ${this.#host} cannot share bytes between files, so that its writers would wait for a whole copy; stop what uses it`,
      );
    }
    await this.#mounts.ensureUnused(source, attempt);
    await this.#mounts.flush(source);
    await this.#copy(source, target, signal);
  }

  async mounts(
    path: string,
    options: { readonly readOnly: boolean; readonly sealed: boolean; readonly device: boolean },
  ): Promise<readonly LayerMount[]> {
    const { type } = this.#options;
    const block = await this.#blocks.has(path);
    if (block !== options.device || (block && options.sealed)) {
      const why = block ? "it is a block device, not a file tree" : "it is a file tree";
      throw new Failure("failed_precondition", `Cannot mount the layer at ${path}: ${why}`);
    }
    if (block) {
      const source = await this.#ports.kernel.attachDevice(path, options);
      return [{ type: "bind", source, options: [] }];
    }
    const { options: writable, sealedOptions } = this.#fileSystem;
    if (options.sealed) return [{ type, source: path, options: sealedOptions, root: ROOT }];
    // A file system takes writes or does not, whichever of its mounts asks: so it must never be both at once.
    const entry = await this.#mounts.find(path);
    const readOnly = entry?.superOptions.includes("ro") === true;
    if (options.readOnly && entry?.root === "/" && !readOnly) {
      return [{ type: "bind", source: entry.mountPoint, options: ["ro"], root: ROOT }];
    }
    if (!options.readOnly && readOnly && entry.options.includes("ro")) {
      const argv = ["mount", "--options", "remount,rw", entry.mountPoint] as const;
      await work(this.#ports.exec, "Cannot mount for writing what is being read", argv);
    }
    const given = options.readOnly ? ["ro", ...writable] : writable;
    return [{ type, source: path, options: given, root: ROOT }];
  }

  async retire(path: string, attempt: string): Promise<void> {
    if ((await this.#ports.files.stat(path)) === undefined) return;
    await this.#blocks.ensureUnpublished(path, attempt);
    await this.#mounts.ensureUnused(path, attempt);
  }

  async seal(): Promise<void> {}

  async ensureFits(attempt: string, path: string, sizeBytes: number): Promise<void> {
    await this.#size.ensureCan(attempt, path, sizeBytes);
  }

  limit(path: string, sizeBytes: number | null): Promise<void> {
    return this.#size.set(path, sizeBytes);
  }

  settleLimit(path: string, sizeBytes: number | null): Promise<number | null> {
    return this.#size.settle(path, sizeBytes);
  }

  async usage(path: string): Promise<LayerUsage> {
    const { allocatedBytes: referencedBytes, sizeBytes: capacityBytes } = await this.#get(path);
    const exclusiveBytes = this.#reflink
      ? await this.#ports.kernel.exclusiveBytes(path)
      : referencedBytes;
    return { referencedBytes, exclusiveBytes, capacityBytes };
  }

  async remove(path: string): Promise<void> {
    const { files, kernel } = this.#ports;
    if ((await files.stat(path)) === undefined) return;
    for (const device of await kernel.findLoops(path)) await kernel.detachLoop(device);
    await files.remove(path);
  }

  /** Each image is made durable by itself. */
  async settle(): Promise<void> {}

  async flush(path: string): Promise<void> {
    if (await this.#blocks.has(path)) await this.#blocks.flush(path);
    else await this.#mounts.flush(path);
  }

  /** Images are meant to promise more than there is: only when little is left, it is counted how much more. */
  async #room(): Promise<PoolHealth> {
    const { totalBytes, availableBytes } = await this.space();
    if (availableBytes > totalBytes * ROOM_SHARE) return { state: "up" };
    return sparseRoom({
      what: `The pool's directory ${this.#pool.path}`,
      missingBytes: await this.#missingBytes(),
      availableBytes,
      fate: "writers get I/O errors and their volumes turn read-only: delete volumes or snapshots, or add room",
    });
  }

  /** By how much the images of active layers may still grow. */
  async #missingBytes(): Promise<number> {
    const { files } = this.#ports;
    const layers = `${this.#pool.path}/layers`;
    let missingBytes = 0;
    for (const id of (await files.list(layers)).filter(isId)) {
      const [record] = await files.readNotes([`${layers}/${id}/${RECORD_FILE}`]);
      const stat = await files.stat(`${layers}/${id}/${this.contentName}`);
      if (record === undefined || stat === undefined || isCommitted(id, record)) continue;
      missingBytes += Math.max(0, stat.sizeBytes - stat.allocatedBytes);
    }
    return missingBytes;
  }

  /** Of a device that may be written meanwhile: what was written to it so far, as after a power cut. */
  async #copyDevice(
    source: string,
    target: string,
    seat: Seat | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    if (!this.#reflink) {
      const attempt = `Cannot take a snapshot of ${source}`;
      await this.#blocks.ensureUnpublished(source, `${attempt} at one instant on ${this.#host}`);
      await this.#mounts.ensureUnused(source, attempt);
    }
    await this.#blocks.flush(source);
    // The file system lets nobody write to a file while its bytes are being shared.
    if (this.#reflink) await this.#clone({ frozen: null, source, target }, seat);
    else await this.#copy(source, target, signal);
  }

  async #copyFrozen(
    entry: MountEntry | undefined,
    source: string,
    target: string,
    seat: Seat | undefined,
  ): Promise<void> {
    const clone = (frozen: string | null) => this.#clone({ frozen, source, target }, seat);
    if (entry?.superOptions.includes("ro")) await clone(null);
    // Frozen also when nobody is seen to have it: there may be mounts that only others see, of the same file system. And
    // who waits for others does it by a mount of its own: a container's may be gone by then.
    else if (entry === undefined || seat) await this.#mounts.withMounted(source, clone);
    else await clone(entry.mountPoint);
  }

  /** Those of one group are frozen together. */
  async #clone(image: FrozenImage, seat: Seat | undefined): Promise<void> {
    const { exec, kernel } = this.#ports;
    const act = async (images: readonly FrozenImage[]): Promise<void> => {
      await kernel.cloneFrozen(images);
    };
    await (seat === undefined ? act([image]) : seat.join(image, act));
    await work(exec, `Cannot write out ${image.target}`, ["sync", image.target]);
  }

  /** A durable copy of an image that nobody writes to. */
  async #copy(source: string, target: string, signal?: AbortSignal): Promise<void> {
    const { exec, kernel } = this.#ports;
    const attempt = `Cannot copy ${source}`;
    if (this.#reflink) await kernel.cloneFile(source, target);
    else {
      const argv = ["cp", "--sparse=always", "--", source, target] as const;
      await work(exec, attempt, argv, signal === undefined ? {} : { signal });
    }
    await work(exec, attempt, ["sync", target]);
  }

  async #get(path: string): Promise<FileStat> {
    const stat = await this.#ports.files.stat(path);
    if (stat !== undefined) return stat;
    throw new Failure("data_loss", `Cannot use the layer at ${path}: its image is gone`);
  }
}

/** False also when the record is damaged: then the image may be in use. */
function isCommitted(id: string, text: string): boolean {
  try {
    const layer = id as LayerId;
    return describeLayer(layer, parseLayerRecord(layer, text)).kind === "committed";
  } catch {
    return false;
  }
}
