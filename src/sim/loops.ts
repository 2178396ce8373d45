import type { SimFileSystem } from "./file-system.ts";
import type { SimNode } from "./node.ts";

/** The loop devices of a machine. */
export class SimLoops {
  readonly #devices: SimFileSystem;
  /** Device nodes by number; each stays once made, attached or not. */
  readonly #attached = new Map<number, SimNode>();

  /** @param devices The file system at `/dev`. */
  constructor(devices: SimFileSystem) {
    this.#devices = devices;
  }

  /** Attaches the first free device to an image file. */
  attach(file: SimNode): string {
    let number = 0;
    while (this.#attached.has(number)) number++;
    const directory = this.#devices.top.root;
    const name = `loop${number}`;
    if (!directory.entries.has(name)) {
      this.#devices.create(directory, name, "other", { mode: 0o660, uid: 0, gid: 6 });
      this.#devices.commit();
    }
    this.#attached.set(number, file);
    return `/dev/${name}`;
  }

  /** The devices attached to this very file, lowest first. */
  find(file: SimNode): readonly string[] {
    return [...this.#attached]
      .filter(([, attached]) => attached === file)
      .map(([number]) => number)
      .sort((a, b) => a - b)
      .map((number) => `/dev/loop${number}`);
  }

  /** What a device node stands for: its image file when it is a loop device, else itself; undefined when unattached. */
  backing(node: SimNode): SimNode | undefined {
    const number = numberOf(node.name);
    return number === undefined ? node : this.#attached.get(number);
  }

  /** Detaches one device. */
  detach(name: string): void {
    const number = numberOf(name);
    if (number !== undefined) this.#attached.delete(number);
  }

  /** Detaches every device of a file: what the last unmount does. */
  release(file: SimNode): void {
    for (const [number, attached] of this.#attached) {
      if (attached === file) this.#attached.delete(number);
    }
  }

  clear(): void {
    this.#attached.clear();
  }
}

function numberOf(name: string): number | undefined {
  const digits = /^loop(\d+)$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
