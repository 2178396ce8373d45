import { Failure } from "../../core/failure.ts";
import type { LayerId } from "../../core/id.ts";
import type { Shelf } from "./shelf.ts";

/** Which layers calls of this process need as parents, and which they are removing: so that no call takes another's. */
export class Lineage {
  /** Layers being made, and the parents that they need. */
  readonly #needed = new Map<LayerId, LayerId>();
  /** Layers being removed. */
  readonly #going = new Set<LayerId>();

  /** Runs the making of `layer`, which needs `parent`. */
  async making(layer: LayerId, parent: LayerId | null, work: () => Promise<void>): Promise<void> {
    if (parent !== null) this.#needed.set(layer, parent);
    try {
      await work();
    } finally {
      this.#needed.delete(layer);
    }
  }

  /** Runs the removal of `layers`. */
  async removing<T>(layers: readonly LayerId[], work: () => Promise<T>): Promise<T> {
    for (const layer of layers) this.#going.add(layer);
    try {
      return await work();
    } finally {
      for (const layer of layers) this.#going.delete(layer);
    }
  }

  /** @throws {Failure} `not_found` or `failed_precondition` when `parent` cannot be one. */
  async ensureParent(attempt: string, parent: LayerId, shelf: Shelf): Promise<void> {
    const found = this.#going.has(parent) ? undefined : await shelf.find(parent);
    if (found === undefined) {
      throw new Failure("not_found", `${attempt}: its parent ${parent} does not exist`);
    }
    if (found.info.kind === "committed") return;
    throw new Failure(
      "failed_precondition",
      `${attempt}: its parent ${parent} is ${found.info.kind}; only a committed layer can be a parent`,
    );
  }

  /** @param look Finds a layer that is there with this parent. @throws {Failure} `failed_precondition` naming a child. */
  async ensureNoChild(
    attempt: string,
    layer: LayerId,
    look: () => Promise<LayerId | undefined>,
  ): Promise<void> {
    const child = this.#findNeeding(layer) ?? (await look());
    if (child === undefined) return;
    throw new Failure(
      "failed_precondition",
      `${attempt}: layer ${child} is made from it; remove that one first`,
      { detail: { child } },
    );
  }

  /** A layer that is being made from `parent`. */
  #findNeeding(parent: LayerId): LayerId | undefined {
    for (const [child, needed] of this.#needed) {
      if (needed === parent) return child;
    }
    return undefined;
  }
}
