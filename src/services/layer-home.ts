import { type PoolName, parsePoolName } from "../core/name.ts";
import type { PoolSpec } from "../core/pool/pool.ts";
import type { Pools } from "./pools.ts";

/** Pool that is made for layers where the default pool does not suit them. */
export const LAYERS_POOL: PoolSpec = {
  name: parsePoolName("layers"),
  driver: "overlay",
  options: {},
};

/** What {@link LayerHome} works with. */
interface LayerHomeParts {
  readonly pools: Pools;
  readonly defaultPool: PoolName;
  /** The pool that the configuration asks for (`layers.pool`); null: choose. */
  readonly configured: PoolName | null;
}

/** Where layers without a parent are made; the others lie where their parent does. */
export class LayerHome {
  readonly #parts: LayerHomeParts;

  constructor(parts: LayerHomeParts) {
    this.#parts = parts;
  }

  /** The pool, which is made when it is the first time. */
  async find(signal: AbortSignal): Promise<PoolName> {
    const { pools, defaultPool, configured } = this.#parts;
    if (configured !== null) return configured;
    // Made once, it stays their home, whatever becomes the default.
    if (pools.names().includes(LAYERS_POOL.name)) return LAYERS_POOL.name;
    const { instantClones, layers } = pools.describe(defaultPool).driver.traits;
    if (instantClones && layers) return defaultPool;
    await pools.ensure(LAYERS_POOL, signal);
    return LAYERS_POOL.name;
  }
}
