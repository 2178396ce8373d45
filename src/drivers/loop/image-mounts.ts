import { Failure } from "../../core/failure.ts";
import type { Kernel, MountEntry } from "../../core/ports/kernel.ts";
import { isBroken, mountOf } from "../shared/mount-of.ts";
import type { DriverPorts } from "../shared/ports.ts";
import { work } from "./command.ts";
import type { ImageFileSystem } from "./file-systems.ts";

/** How often a device that detaches itself after its last use is waited for, and how long each time, in seconds. */
const DETACH_LIMIT = 50;
const DETACH_SECONDS = "0.1";

/** Where images are mounted: by whoever uses their layers, and by us for a moment, at `work/` in the pool's directory. */
export class ImageMounts {
  readonly #work: string;
  readonly #layers: string;
  readonly #type: string;
  readonly #fileSystem: ImageFileSystem;
  readonly #ports: DriverPorts;
  /** Mount points that a call of this process has in use. */
  readonly #inUse = new Set<string>();
  #made = 0;
  /** What `open` could not put right. */
  #stuck: string | undefined;

  constructor(pool: string, type: string, fileSystem: ImageFileSystem, ports: DriverPorts) {
    this.#work = `${pool}/work`;
    this.#layers = `${pool}/layers/`;
    this.#type = type;
    this.#fileSystem = fileSystem;
    this.#ports = ports;
  }

  /** Takes down what a call left mounted that never ended, and thaws what it left frozen. */
  async open(): Promise<void> {
    const { files, kernel } = this.#ports;
    await files.ensureDirectory(this.#work, { mode: 0o700 });
    this.#stuck = undefined;
    // A volume that is broken or in somebody's way must not stop the others.
    const stick = (thrown: unknown): void => {
      this.#stuck = Failure.from(thrown).message;
    };
    const table = await kernel.mountTable();
    for (const { mountPoint } of await this.#ofPool(table)) {
      await kernel.thaw(mountPoint).catch(stick);
    }
    for (const { mountPoint } of table.toReversed()) {
      if (!mountPoint.startsWith(`${this.#work}/`) || this.#inUse.has(mountPoint)) continue;
      await kernel.unmount(mountPoint).catch(stick);
    }
    for (const name of await files.list(this.#work)) {
      const path = `${this.#work}/${name}`;
      if (!this.#inUse.has(path)) await files.remove(path).catch(stick);
    }
  }

  /** What the last {@link open} could not put right, as a sentence. */
  get stuck(): string | undefined {
    return this.#stuck;
  }

  /** A mount of an image by which it can be reached; undefined when it has none that we see. */
  async find(image: string): Promise<MountEntry | undefined> {
    const { kernel } = this.#ports;
    const devices = await kernel.findLoops(image);
    if (devices.length === 0) return undefined;
    const table = await kernel.mountTable();
    const mounts = table.filter(
      // What lies under another mount cannot be reached by its path.
      (entry) => devices.includes(entry.source) && mountOf(entry.mountPoint, table) === entry,
    );
    return mounts.find(({ root }) => root === "/") ?? mounts[0];
  }

  /** @throws {Failure} `failed_precondition` when anybody has the image mounted. */
  async ensureUnused(image: string, attempt: string): Promise<void> {
    const { exec, kernel } = this.#ports;
    const entry = await this.find(image);
    if (entry !== undefined) {
      const why = `it is mounted at ${entry.mountPoint}; stop what uses it`;
      throw new Failure("failed_precondition", `${attempt}: ${why}`);
    }
    for (let wait = 0; ; wait++) {
      const devices = await kernel.findLoops(image);
      if (devices.length === 0) return;
      if (wait === DETACH_LIMIT) {
        const why = `its device ${devices[0]} is in use where this process sees no mount of it`;
        throw new Failure("failed_precondition", `${attempt}: ${why}; see losetup --list`);
      }
      for (const device of devices) await kernel.detachLoop(device);
      if (wait > 0) await work(exec, attempt, ["sleep", DETACH_SECONDS]);
    }
  }

  /** Mounts an image that nobody has mounted while `use` runs: which ends what its journal had begun. */
  async withMounted(image: string, use: (mountPoint: string) => Promise<void>): Promise<void> {
    const { files, kernel } = this.#ports;
    const target = `${this.#work}/${++this.#made}`;
    this.#inUse.add(target);
    try {
      await files.ensureDirectory(target, { mode: 0o700 });
      const { options } = this.#fileSystem;
      await kernel.mount({ type: this.#type, source: image, target, options });
      try {
        await use(target);
      } finally {
        await kernel.unmount(target);
      }
      await files.remove(target);
    } finally {
      this.#inUse.delete(target);
    }
  }

  /** Writes out what an image holds, mounted or not; afterwards its journal is empty when it is not. */
  async flush(image: string): Promise<void> {
    const { exec } = this.#ports;
    const attempt = `Cannot write out what ${image} holds`;
    const entry = await this.find(image);
    if (entry === undefined) {
      await this.withMounted(image, async () => {});
    } else if (!entry.superOptions.includes("ro") && !isBroken(entry)) {
      await work(exec, attempt, ["sync", "--file-system", entry.mountPoint]);
    }
    await work(exec, attempt, ["sync", image]);
  }

  /** A mount of one of the pool's images whose file system takes no writes since an error. */
  async findBroken(): Promise<MountEntry | undefined> {
    const mounts = await this.#ofPool(await this.#ports.kernel.mountTable());
    return mounts.find(isBroken);
  }

  /** Mounts of images of this pool, told by the files behind their devices. */
  async #ofPool(table: Awaited<ReturnType<Kernel["mountTable"]>>): Promise<readonly MountEntry[]> {
    const loops = table.filter(({ source }) => /^\/dev\/loop\d+$/.test(source));
    const files = await this.#ports.files.readTexts(
      loops.map(({ source }) => `/sys/block/${source.slice("/dev/".length)}/loop/backing_file`),
    );
    return loops.filter((_, index) => files[index]?.startsWith(this.#layers) === true);
  }
}
