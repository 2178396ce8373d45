import { Failure } from "../core/failure.ts";
import type { LayerId } from "../core/id.ts";
import { isId } from "../core/id.ts";
import type { Files } from "../core/ports/files.ts";
import type { Kernel } from "../core/ports/kernel.ts";
import type { LayerMount } from "../core/ports/storage-driver.ts";
import type { KeyedQueue } from "./keyed-queue.ts";

/** End of the name of a mount point that is read-only. */
const READ_ONLY = ".ro";

/** A layer that is mounted, or was meant to be. */
export interface Staged {
  readonly layer: LayerId;
  readonly readOnly: boolean;
}

/** What {@link Staging} works with. */
interface StagingParts {
  readonly kernel: Kernel;
  readonly files: Files;
  readonly queue: KeyedQueue;
  /** Directory of the mount points, canonical and absolute; made when first needed. In /run: it goes with the machine. */
  readonly directory: string;
}

/**
 * Mounts of our own, for layers whose content is no plain path: at `DIRECTORY/LAYER`, or `DIRECTORY/LAYER.ro`. What
 * is mounted the mount table says, so nothing is to be remembered, and a restart finds all of it.
 */
export class Staging {
  readonly #parts: StagingParts;
  /** How many pieces of work of this process need a mount to stay. */
  readonly #held = new Map<string, number>();

  constructor(parts: StagingParts) {
    this.#parts = parts;
  }

  /** Where a layer is mounted when it is. */
  pointOf({ layer, readOnly }: Staged): string {
    return `${this.#parts.directory}/${layer}${readOnly ? READ_ONLY : ""}`;
  }

  /** Those that are mounted now. */
  async list(): Promise<readonly Staged[]> {
    const prefix = `${this.#parts.directory}/`;
    const table = await this.#parts.kernel.mountTable();
    return table.flatMap(({ mountPoint }) => {
      if (!mountPoint.startsWith(prefix)) return [];
      const name = mountPoint.slice(prefix.length);
      const readOnly = name.endsWith(READ_ONLY);
      const layer = readOnly ? name.slice(0, -READ_ONLY.length) : name;
      return isId(layer) ? [{ layer: layer as LayerId, readOnly }] : [];
    });
  }

  /** True while it is mounted. */
  async has(staged: Staged): Promise<boolean> {
    const point = this.pointOf(staged);
    return (await this.#parts.kernel.mountOf(point))?.mountPoint === point;
  }

  /**
   * Mounts a layer, unless it is, and answers where its root is. `mountsOf` is asked only when it is not.
   *
   * @throws {Failure} what the driver or the mount says.
   */
  stage(staged: Staged, mountsOf: () => Promise<readonly LayerMount[]>): Promise<string> {
    const point = this.pointOf(staged);
    return this.#parts.queue.run(`stage/${point}`, async () => {
      const { kernel, files, directory } = this.#parts;
      const [mount, ...more] = await mountsOf();
      if (mount === undefined || more.length > 0) {
        throw new Failure("unimplemented", "Cannot mount a layer that needs several mounts");
      }
      const { root, ...request } = mount;
      if (!(await this.has(staged))) {
        // Others may pass through to what is mounted, nobody may list.
        await files.ensureDirectory(directory, { mode: 0o711 });
        await files.ensureDirectory(point, { mode: 0 });
        await kernel.mount({ ...request, target: point });
      }
      return root === undefined ? point : `${point}/${root}`;
    });
  }

  /** Takes a mount down. Not mounted is success; in use, or held by work of ours, it stays: false. */
  unstage(staged: Staged): Promise<boolean> {
    const point = this.pointOf(staged);
    return this.#parts.queue.run(`stage/${point}`, async () => {
      if ((this.#held.get(point) ?? 0) > 0) return false;
      const { kernel, files } = this.#parts;
      try {
        if (await this.has(staged)) await kernel.unmount(point);
      } catch (thrown) {
        if (!(thrown instanceof Failure) || thrown.code !== "failed_precondition") throw thrown;
        return false;
      }
      await files.remove(point);
      return true;
    });
  }

  /** Does `work` while nobody takes the mount down. */
  async hold<T>(staged: Staged, work: () => Promise<T>): Promise<T> {
    const point = this.pointOf(staged);
    this.#held.set(point, (this.#held.get(point) ?? 0) + 1);
    try {
      return await work();
    } finally {
      const left = (this.#held.get(point) ?? 1) - 1;
      if (left > 0) this.#held.set(point, left);
      else this.#held.delete(point);
    }
  }
}
