import { Failure } from "../core/failure.ts";
import type { LayerId } from "../core/id.ts";
import type { LayerUsage } from "../core/ports/storage-driver.ts";
import type { LayerIndex } from "./layer-index.ts";
import type { Pools } from "./pools.ts";

/** What {@link LayerSizes} works with. */
interface LayerSizesParts {
  readonly index: LayerIndex;
  readonly pools: Pools;
}

/** What layers take. Counted when it is asked for, never on the way of a call that makes or commits one. */
export class LayerSizes {
  readonly #parts: LayerSizesParts;
  /** Of committed layers, which do not change; counts that are under way among them. */
  readonly #known = new Map<LayerId, Promise<LayerUsage>>();

  constructor(parts: LayerSizesParts) {
    this.#parts = parts;
  }

  /** Of the layer without what it stands on. `referencedBytes` is what it adds. @throws {Failure} `not_found`. */
  async own(id: LayerId, signal: AbortSignal): Promise<LayerUsage> {
    const layer = this.#parts.index.layer(id);
    if (layer === undefined) {
      throw new Failure("not_found", `Cannot count layer ${id}: it does not exist`);
    }
    const whole = await this.#whole(id, signal);
    if (layer.kind === "view") return { referencedBytes: 0, exclusiveBytes: 0 };
    const below =
      layer.parent === null ? 0 : (await this.#whole(layer.parent, signal)).referencedBytes;
    return {
      ...whole,
      referencedBytes: Math.max(0, whole.referencedBytes - below),
    };
  }

  /** Forgets layers that are gone. */
  forget(id: LayerId): void {
    this.#known.delete(id);
  }

  async #whole(id: LayerId, signal: AbortSignal): Promise<LayerUsage> {
    const { index, pools } = this.#parts;
    const layer = index.layer(id);
    if (layer === undefined) {
      throw new Failure("not_found", `Cannot count layer ${id}: it does not exist`);
    }
    const count = () => index.keeping([id], () => pools.get(layer.pool).usage(id, signal));
    if (layer.kind !== "committed") return count();
    const known = this.#known.get(id) ?? count();
    this.#known.set(id, known);
    // Who is counting may have been broken off; the next one counts anew.
    known.catch(() => this.#known.delete(id));
    return known;
  }
}
