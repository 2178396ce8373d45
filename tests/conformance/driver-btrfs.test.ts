import type { DriverTraits } from "../../src/core/ports/storage-driver.ts";
import { createBtrfsDriver } from "../../src/drivers/btrfs/driver.ts";
import { SimMachine } from "../../src/sim/machine.ts";
import { simFixture } from "./driver-sim.ts";
import { storageDriverConformance } from "./storage-driver.ts";

const POOL = "/var/lib/lagan/pools/default";
const TRAITS: DriverTraits = {
  sizeLimit: { errno: "EDQUOT" },
  liveSnapshots: "atomic",
  instantClones: true,
  layers: true,
  plainPaths: true,
  independentLayers: true,
  rootedClones: true,
  instantUsage: true,
};

storageDriverConformance("btrfs loop file, simulated", {
  traits: TRAITS,
  fresh: async () =>
    simFixture({
      machine: new SimMachine({ seed: 1 }),
      root: `${POOL}/mnt`,
      mounted: true,
      make: (ports) => createBtrfsDriver(POOL, { size: "1G" }, ports),
    }),
});

storageDriverConformance("btrfs in a directory, simulated", {
  traits: { ...TRAITS, instantUsage: false },
  fresh: async () =>
    simFixture({
      machine: new SimMachine({ seed: 1, rootType: "btrfs" }),
      root: POOL,
      mounted: false,
      make: (ports) => createBtrfsDriver(POOL, {}, ports),
    }),
});
