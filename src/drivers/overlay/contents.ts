import type { FileStep } from "../../core/ports/files.ts";
import type { LayerUsage, RootOwner } from "../../core/ports/storage-driver.ts";
import type { DriverPorts } from "../shared/ports.ts";
import type { Upper } from "./mount-options.ts";

/** Base of the numbers that contents are named by: a name is a mount option, of which a page must hold many. */
const RADIX = 36;

/**
 * Where the content of layers lies, under short names:
 *
 *     l/NAME/d       files of one layer, as a lower or the upper directory
 *     l/NAME/w       the work directory of its overlay
 *
 * A content belongs to the layer whose record names it; named by none, it is nobody's.
 */
export class Contents {
  readonly #root: string;
  readonly #ports: DriverPorts;
  /** Bytes allocated to contents that do not change any more, as far as they were counted. */
  readonly #sizes = new Map<string, number>();
  #last = 0;

  constructor(pool: string, ports: DriverPorts) {
    this.#root = `${pool}/l`;
    this.#ports = ports;
  }

  /** Where all of them are. */
  get directory(): string {
    return this.#root;
  }

  /** Makes the directory when it is missing; answers the names of all contents. */
  async open(): Promise<readonly string[]> {
    await this.#ports.files.ensureDirectory(this.#root, { mode: 0o711 });
    const names = await this.#ports.files.list(this.#root);
    for (const name of names) this.#last = Math.max(this.#last, Number.parseInt(name, RADIX) || 0);
    return names;
  }

  /** No content gets this name. */
  reserve(name: string): void {
    this.#last = Math.max(this.#last, Number.parseInt(name, RADIX) || 0);
  }

  of(name: string): Upper {
    return { content: `${this.#root}/${name}/d`, work: `${this.#root}/${name}/w` };
  }

  /** A name that no content has had since the pool was opened. */
  newName(): string {
    return (++this.#last).toString(RADIX);
  }

  /** Makes an empty content, durably. @param root Whose root it gets: another content's, or a new one. */
  async make(name: string, root: { readonly like: string } | RootOwner): Promise<void> {
    const { files } = this.#ports;
    const { content, work } = this.of(name);
    const directory = `${this.#root}/${name}`;
    await files.makeDirectory(directory, { mode: 0o711 });
    await files.makeDirectory(work, { mode: 0o700 });
    if ("like" in root) await files.makeDirectoryLike(content, this.of(root.like).content);
    else await files.makeDirectory(content, root);
    await files.syncDirectory(content);
    await files.syncDirectory(directory);
    await this.syncNames();
  }

  /** The steps of {@link make}. Not durable. */
  stepsToMake(name: string, root: { readonly like: string } | RootOwner): readonly FileStep[] {
    const { content, work } = this.of(name);
    return [
      { do: "makeDirectory", path: `${this.#root}/${name}`, mode: 0o711 },
      { do: "makeDirectory", path: work, mode: 0o700 },
      "like" in root
        ? { do: "makeDirectoryLike", path: content, model: this.of(root.like).content }
        : { do: "makeDirectory", path: content, ...root },
    ];
  }

  /** From now on `Files.isUnchanged` tells of what lies in it. */
  stepsToWatch(name: string): readonly FileStep[] {
    return [{ do: "watch", path: this.of(name).content }];
  }

  /** Makes durable which contents there are. */
  syncNames(): Promise<void> {
    return this.#ports.files.syncDirectory(this.#root);
  }

  /** Absent is success. */
  remove(name: string, signal: AbortSignal): Promise<void> {
    return this.#ports.files.removeTree(this.forget(name), signal);
  }

  /** Nothing is known any more of a content that goes; answers what has to be removed. */
  forget(name: string): string {
    this.#sizes.delete(name);
    return `${this.#root}/${name}`;
  }

  /** Of this content alone; `exclusiveBytes` are those that no other file shares. */
  async usage(name: string, signal: AbortSignal): Promise<LayerUsage> {
    const { files } = this.#ports;
    const { allocatedBytes, sharedBytes, entries } = await files.measureTree(
      this.of(name).content,
      signal,
    );
    const exclusiveBytes = allocatedBytes - sharedBytes;
    return { referencedBytes: allocatedBytes, exclusiveBytes, inodes: entries };
  }

  /** Bytes allocated to the content of a committed layer; counted once. */
  async sizeOfCommitted(name: string, signal: AbortSignal): Promise<number> {
    const known = this.#sizes.get(name);
    if (known !== undefined) return known;
    const { referencedBytes } = await this.usage(name, signal);
    this.#sizes.set(name, referencedBytes);
    return referencedBytes;
  }
}
