import { createDirectoryDriver } from "../../src/drivers/directory/driver.ts";
import { SimMachine } from "../../src/sim/machine.ts";
import { simFixture } from "./driver-sim.ts";
import { storageDriverConformance } from "./storage-driver.ts";

const POOL = "/var/lib/lagan/pools/default";

storageDriverConformance("directory, simulated", {
  traits: {
    sizeLimit: false,
    liveSnapshots: "per-file",
    instantClones: false,
    layers: true,
    plainPaths: true,
    independentLayers: true,
    instantUsage: false,
  },
  fresh: async () =>
    simFixture({
      machine: new SimMachine({ seed: 1 }),
      root: POOL,
      mounted: false,
      make: (ports) => createDirectoryDriver(POOL, {}, ports),
    }),
});
