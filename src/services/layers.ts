import type { LayerId } from "../core/id.ts";
import type { PoolName } from "../core/name.ts";
import type { Kernel } from "../core/ports/kernel.ts";
import type { Pools } from "./pools.ts";
import type { Staging } from "./staging.ts";

/** What {@link Layers} works with. */
interface LayersParts {
  readonly pools: Pools;
  readonly staging: Staging;
  readonly kernel: Kernel;
}

/** The content of layers, for work of our own: comparing, exporting, importing. */
export class Layers {
  readonly #parts: LayersParts;

  constructor(parts: LayersParts) {
    this.#parts = parts;
  }

  /**
   * Does `work` with the directory of a layer's content, which stays there until it ends.
   *
   * @param options `readOnly`: as committed layers can only be asked for. `release`: what is mounted for writing is taken
   * down afterwards too, which it is not where containers may have it.
   * @throws {Failure} `not_found` for an absent layer; `unavailable` when the pool is faulted; what `work` throws.
   */
  async withPath<T>(
    layer: { readonly pool: PoolName; readonly layer: LayerId },
    options: { readonly readOnly: boolean; readonly release?: boolean },
    work: (path: string) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const { pools, staging } = this.#parts;
    const driver = pools.get(layer.pool);
    const { readOnly, release = readOnly } = options;
    const mountsOf = () => driver.mounts(layer.layer, { readOnly }, signal);
    if (driver.traits.plainPaths) {
      const [mount] = await mountsOf();
      // Read by us alone, and never written: a path is enough.
      if (mount?.type === "bind") return work(mount.source);
    }
    const staged = { layer: layer.layer, readOnly };
    try {
      return await staging.hold(staged, async () => work(await staging.stage(staged, mountsOf)));
    } finally {
      // A writable one may be a container's by now; housekeeping takes those down.
      if (release) await staging.unstage(staged);
    }
  }

  /** Inodes of the file system that a layer lies in, or is one of its own; 0 of 0 where it does not count them. */
  async inodes(
    layer: { readonly pool: PoolName; readonly layer: LayerId },
    signal: AbortSignal,
  ): Promise<{ readonly total: number; readonly available: number }> {
    const { kernel } = this.#parts;
    const { totalInodes: total, availableInodes: available } = await this.withPath(
      layer,
      { readOnly: false },
      (path) => kernel.statFileSystem(path),
      signal,
    );
    return { total, available };
  }
}
