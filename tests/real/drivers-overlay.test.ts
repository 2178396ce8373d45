import { join } from "node:path";
import type { DriverTraits } from "../../src/core/ports/storage-driver.ts";
import { createOverlayDriver } from "../../src/drivers/overlay/driver.ts";
import type { DriverPorts } from "../../src/drivers/shared/ports.ts";
import { hostExec } from "../../src/host/exec.ts";
import { hostFiles } from "../../src/host/files.ts";
import { hostKernel } from "../../src/host/kernel.ts";
import { storageDriverConformance } from "../conformance/storage-driver.ts";
import { diskFixture, Scratch } from "./driver-disk.ts";

const ports: DriverPorts = { files: hostFiles, kernel: hostKernel, exec: hostExec };
const TRAITS: DriverTraits = {
  sizeLimit: false,
  liveSnapshots: false,
  instantClones: true,
  layers: true,
  plainPaths: false,
  independentLayers: false,
  instantUsage: false,
};
const HARD_LINKS =
  "a file of a lower layer that is written gets a copy of its own under the name it was opened by; driver-overlay.test.ts shows it";

for (const [name, mkfs, faultModes] of [
  ["ext4", ["mkfs.ext4", "-q"], ["crash"]],
  ["XFS", ["mkfs.xfs", "-q", "-m", "reflink=1"], []],
  ["btrfs", ["mkfs.btrfs", "-q"], []],
] as const) {
  storageDriverConformance(`overlay on ${name}`, {
    traits: TRAITS,
    onDisk: true,
    faultModes,
    exempt: { "8 a layer from a parent changes alone, also through a hard link": HARD_LINKS },
    fresh: async () => {
      const scratch = await Scratch.make();
      const image = await scratch.image("disk.img", mkfs);
      const root = join(await scratch.mount(image), "pool");
      return diskFixture({
        scratch,
        root,
        mounted: false,
        ports,
        make: (given) => createOverlayDriver(root, {}, given),
        powerCut: async () => {
          await scratch.cutPower([image]);
          await scratch.mount(image);
        },
      });
    },
  });
}
