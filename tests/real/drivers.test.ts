import { join } from "node:path";
import type { DriverTraits } from "../../src/core/ports/storage-driver.ts";
import { createBtrfsDriver } from "../../src/drivers/btrfs/driver.ts";
import { createDirectoryDriver } from "../../src/drivers/directory/driver.ts";
import type { DriverPorts } from "../../src/drivers/shared/ports.ts";
import { hostExec } from "../../src/host/exec.ts";
import { hostFiles } from "../../src/host/files.ts";
import { hostKernel } from "../../src/host/kernel.ts";
import { storageDriverConformance } from "../conformance/storage-driver.ts";
import { diskFixture, Scratch } from "./driver-disk.ts";

const ports: DriverPorts = { files: hostFiles, kernel: hostKernel, exec: hostExec };
const DIRECTORY_TRAITS: DriverTraits = {
  sizeLimit: false,
  liveSnapshots: "per-file",
  instantClones: false,
  layers: true,
  plainPaths: true,
  independentLayers: true,
  instantUsage: false,
};
const BTRFS_TRAITS: DriverTraits = {
  sizeLimit: { errno: "EDQUOT" },
  liveSnapshots: "atomic",
  instantClones: true,
  layers: true,
  plainPaths: true,
  independentLayers: true,
  rootedClones: true,
  instantUsage: true,
};

// Every way of every call is gone through on the simulated machine; here each driver dies at each call once.
const ONCE = ["crash"] as const;

for (const [name, mkfs, rest] of [
  ["ext4", ["mkfs.ext4", "-q"], { faultModes: ONCE }],
  [
    "XFS with reflink",
    ["mkfs.xfs", "-q", "-m", "reflink=1"],
    { faultModes: [], sharesBytes: true },
  ],
  ["btrfs", ["mkfs.btrfs", "-q"], { faultModes: [], sharesBytes: true }],
] as const) {
  storageDriverConformance(`directory on ${name}`, {
    traits: DIRECTORY_TRAITS,
    onDisk: true,
    ...rest,
    fresh: async () => {
      const scratch = await Scratch.make();
      const image = await scratch.image("disk.img", mkfs);
      const root = join(await scratch.mount(image), "pool");
      return diskFixture({
        scratch,
        root,
        mounted: false,
        ports,
        make: (given) => createDirectoryDriver(root, {}, given),
        powerCut: async () => {
          await scratch.cutPower([image]);
          await scratch.mount(image);
        },
      });
    },
  });
}

storageDriverConformance("btrfs in a directory of a btrfs disk", {
  traits: { ...BTRFS_TRAITS, instantUsage: false },
  onDisk: true,
  faultModes: [],
  fresh: async () => {
    const scratch = await Scratch.make();
    const image = await scratch.image("disk.img", ["mkfs.btrfs", "-q"]);
    const root = join(await scratch.mount(image), "pool");
    return diskFixture({
      scratch,
      root,
      mounted: false,
      ports,
      make: (given) => createBtrfsDriver(root, {}, given),
      powerCut: async () => {
        await scratch.cutPower([image]);
        await scratch.mount(image);
      },
    });
  },
});

storageDriverConformance("btrfs on a disk", {
  traits: BTRFS_TRAITS,
  onDisk: true,
  faultModes: [],
  fresh: async () => {
    const scratch = await Scratch.make();
    const image = await scratch.image("disk.img");
    let device = await scratch.attach(image);
    const pool = join(scratch.path, "pool");
    return diskFixture({
      scratch,
      root: join(pool, "mnt"),
      mounted: true,
      ports,
      make: (given) => createBtrfsDriver(pool, { device }, given),
      powerCut: async () => {
        await scratch.cutPower([image]);
        device = await scratch.attach(image);
      },
    });
  },
});

storageDriverConformance("btrfs loop file", {
  traits: BTRFS_TRAITS,
  onDisk: true,
  faultModes: ONCE,
  fresh: async () => {
    const scratch = await Scratch.make();
    const pool = join(scratch.path, "pool");
    return diskFixture({
      scratch,
      root: join(pool, "mnt"),
      mounted: true,
      ports,
      make: (given) => createBtrfsDriver(pool, { size: "512M" }, given),
      powerCut: () => scratch.cutPower([join(pool, "pool.img")]),
    });
  },
});
