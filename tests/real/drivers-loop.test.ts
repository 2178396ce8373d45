import { join } from "node:path";
import type { DriverTraits } from "../../src/core/ports/storage-driver.ts";
import { createLoopDriver } from "../../src/drivers/loop/driver.ts";
import type { DriverPorts } from "../../src/drivers/shared/ports.ts";
import { hostExec } from "../../src/host/exec.ts";
import { hostFiles } from "../../src/host/files.ts";
import { hostKernel } from "../../src/host/kernel.ts";
import { storageDriverConformance } from "../conformance/storage-driver.ts";
import type { DriverFixture } from "../conformance/storage-driver-fixture.ts";
import { diskFixture, Scratch } from "./driver-disk.ts";

const ports: DriverPorts = { files: hostFiles, kernel: hostKernel, exec: hostExec };
const COPYING: DriverTraits = {
  sizeLimit: { errno: "ENOSPC" },
  liveSnapshots: false,
  instantClones: false,
  layers: true,
  independentLayers: true,
  plainPaths: false,
  instantUsage: true,
  blockDevices: { defaultBytes: 24 * 1024 ** 2 },
};
/** On a host whose file system lets files share bytes. */
const TRAITS: DriverTraits = {
  ...COPYING,
  liveSnapshots: "frozen",
  joinedSnapshots: true,
  instantClones: true,
};
const XFS_HOST = ["mkfs.xfs", "-q", "-m", "reflink=1"] as const;
const EXT4_HOST = ["mkfs.ext4", "-q"] as const;
const BTRFS_HOST = ["mkfs.btrfs", "-q"] as const;

/** Images of this kind on a host's disk. Small ones keep small blocks and journals, so that they can shrink far. */
async function fresh(
  mkfs: readonly [string, ...string[]],
  options: Readonly<Record<string, string>>,
): Promise<DriverFixture> {
  const scratch = await Scratch.make();
  const image = await scratch.image("disk.img", mkfs);
  const root = join(await scratch.mount(image), "pool");
  return diskFixture({
    scratch,
    root,
    mounted: false,
    ports,
    make: (given) => createLoopDriver(root, options, given),
    powerCut: async () => {
      await scratch.cutPower([image]);
      await scratch.mount(image);
    },
  });
}

storageDriverConformance("loop, ext4 on XFS with reflink", {
  traits: TRAITS,
  onDisk: true,
  faultModes: ["crash"],
  fresh: () => fresh(XFS_HOST, { size: "24M" }),
});

storageDriverConformance("loop, ext4 on ext4", {
  traits: COPYING,
  onDisk: true,
  faultModes: [],
  fresh: () => fresh(EXT4_HOST, { size: "24M" }),
});

const TOO_SMALL =
  "mkfs.xfs makes nothing as small as the suite's limits; driver-loop.test.ts fills and resizes one";
const CUT = "a power cut right after it takes nothing back";

storageDriverConformance("loop, xfs on btrfs", {
  traits: { ...TRAITS, blockDevices: { defaultBytes: 300 * 1024 ** 2 } },
  onDisk: true,
  faultModes: [],
  exempt: {
    "8 the limit stops the writer, not its neighbour, and deleting makes room": TOO_SMALL,
    "8 a layer from a snapshot of a limited layer has no limit unless it is given one": TOO_SMALL,
    "8 preparing again brings the size to what is asked": TOO_SMALL,
    "18 the limit can grow, shrink and go, also of a full layer": TOO_SMALL,
    "18 a limit below what is there is refused and changes nothing": TOO_SMALL,
    "18 a limit holds after the pool was closed and opened by a new daemon": TOO_SMALL,
    "18 a layer from a parent has a limit of its own": TOO_SMALL,
    [`3 prepare with a limit: ${CUT}`]: TOO_SMALL,
    [`3 resize to a limit: ${CUT}`]: TOO_SMALL,
    [`3 resize to none: ${CUT}`]: TOO_SMALL,
    "17 usage follows what is written":
      "mkfs.xfs takes 64 MiB for its log at once, more than the test writes; the same is tested with ext4",
  },
  fresh: () => fresh(BTRFS_HOST, { fs: "xfs", size: "300M" }),
});
