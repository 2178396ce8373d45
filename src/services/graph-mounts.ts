import { Failure } from "../core/failure.ts";
import type { Files } from "../core/ports/files.ts";
import type { Kernel } from "../core/ports/kernel.ts";
import type { LayerMount } from "../core/ports/storage-driver.ts";

/** What {@link GraphMounts} works with. */
interface GraphMountsParts {
  readonly kernel: Kernel;
  readonly files: Files;
  /** Directory of the mount points, canonical and absolute; made when first needed. In /run: it goes with the machine. */
  readonly directory: string;
}

/**
 * Where layers are mounted for an engine: at `DIRECTORY/ID`, for as many users as asked for it.
 *
 * 1. What is mounted the mount table says; how many use it only this process knows. Of an id that it has not met since
 *    its start, or since {@link forget}, one use is assumed when it is mounted: so a use that was begun before is ended by
 *    one {@link release}, also by an engine that crashed meanwhile.
 * 2. Calls for one id never overlap: the caller sees to that.
 */
export class GraphMounts {
  readonly #parts: GraphMountsParts;
  readonly #uses = new Map<string, number>();

  constructor(parts: GraphMountsParts) {
    this.#parts = parts;
  }

  /** Uses that this process has given out and not got back. */
  usesOf(id: string): number {
    return this.#uses.get(id) ?? 0;
  }

  /** One more use: mounts it unless it is, and answers where its root is. */
  async acquire(id: string, mountsOf: () => Promise<readonly LayerMount[]>): Promise<string> {
    const mounted = await this.#has(id);
    const uses = mounted ? (this.#uses.get(id) ?? 1) : 0;
    const [mount, ...more] = await mountsOf();
    if (mount === undefined || more.length > 0) {
      throw new Failure("unimplemented", "Cannot mount a layer that needs several mounts");
    }
    const { root, ...request } = mount;
    const point = this.#pointOf(id);
    if (!mounted) {
      const { kernel, files, directory } = this.#parts;
      // Containers' users pass through to what is mounted, nobody may list.
      await files.ensureDirectory(directory, { mode: 0o711 });
      await files.ensureDirectory(point, { mode: 0 });
      await kernel.mount({ ...request, target: point });
    }
    this.#uses.set(id, uses + 1);
    return root === undefined ? point : `${point}/${root}`;
  }

  /** One use less; the last takes the mount down. Without a use it is success. */
  async release(id: string): Promise<void> {
    const uses = this.#uses.get(id) ?? 1;
    if (uses > 1) this.#uses.set(id, uses - 1);
    else await this.drop(id);
  }

  /**
   * Takes the mount down, however many use it. Not mounted is success.
   *
   * @throws {Failure} `failed_precondition` while a process of this mount namespace has something open in it.
   */
  async drop(id: string): Promise<void> {
    const { kernel, files } = this.#parts;
    const point = this.#pointOf(id);
    // One that cannot be taken down now has no user of ours any more, so the next one is the first.
    this.#uses.set(id, 0);
    if (await this.#has(id)) await kernel.unmount(point);
    this.#uses.delete(id);
    if ((await files.stat(point)) !== undefined) await files.remove(point);
  }

  /** From now on nothing is known of uses but what is mounted. */
  forget(): void {
    this.#uses.clear();
  }

  /** Ids of what is mounted now. */
  async list(): Promise<readonly string[]> {
    const prefix = `${this.#parts.directory}/`;
    const table = await this.#parts.kernel.mountTable();
    return table.flatMap(({ mountPoint }) =>
      mountPoint.startsWith(prefix) && !mountPoint.slice(prefix.length).includes("/")
        ? [mountPoint.slice(prefix.length)]
        : [],
    );
  }

  #pointOf(id: string): string {
    return `${this.#parts.directory}/${id}`;
  }

  async #has(id: string): Promise<boolean> {
    const { files, kernel } = this.#parts;
    const point = this.#pointOf(id);
    // The mount table of a machine with many containers is long, and a layer that was never mounted is the rule.
    if ((await files.stat(point)) === undefined) return false;
    return (await kernel.mountTable()).some(({ mountPoint }) => mountPoint === point);
  }
}
