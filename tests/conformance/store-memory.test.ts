import type { Store } from "../../src/core/ports/store.ts";
import { emptyStoreDisk, SimStore, type SimStoreDisk } from "../../src/sim/store.ts";
import { storeConformance } from "./store.ts";

const disks = new WeakMap<Store, SimStoreDisk>();

storeConformance("in memory", {
  fresh: async (clock) => {
    const disk = emptyStoreDisk();
    const store = new SimStore(clock, disk);
    disks.set(store, disk);
    return store;
  },
  reopen: async (closed, clock) => new SimStore(clock, disks.get(closed)),
});
