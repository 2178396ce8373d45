import type { PoolName } from "../core/name.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import type { Random } from "../core/ports/random.ts";
import type { Store } from "../core/ports/store.ts";
import type { EventLog } from "./event-log.ts";
import type { KeyedQueue } from "./keyed-queue.ts";
import { LayerHome } from "./layer-home.ts";
import { LayerIndex } from "./layer-index.ts";
import { LayerReaper } from "./layer-reaper.ts";
import { LayerRecords } from "./layer-records.ts";
import { LayerRepair } from "./layer-repair.ts";
import { LayerSizes } from "./layer-sizes.ts";
import { LayerStore } from "./layer-store.ts";
import type { Layers } from "./layers.ts";
import type { Pools } from "./pools.ts";

/** What a layer store is built of. */
interface LayerStoreBase {
  readonly store: Store;
  readonly pools: Pools;
  readonly layers: Layers;
  readonly events: EventLog;
  readonly queue: KeyedQueue;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly defaultPool: PoolName;
  readonly configured: PoolName | null;
}

/** A layer store with all that it works with. */
export function buildLayerStore(base: LayerStoreBase): LayerStore {
  const { store, pools, layers, events, queue, clock, random, log } = base;
  const { defaultPool, configured } = base;
  const records = new LayerRecords(store, log);
  const index = new LayerIndex();
  const home = new LayerHome({ pools, defaultPool, configured });
  const repair = new LayerRepair({ records, index, pools, events, log });
  const sizes = new LayerSizes({ index, pools });
  const reaper = new LayerReaper({ records, index, repair, sizes, pools, clock, log });
  return new LayerStore({
    ...{ records, index, home, repair, reaper, sizes },
    ...{ pools, layers, queue, clock, random },
  });
}
