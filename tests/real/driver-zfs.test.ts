import { storageDriverConformance } from "../conformance/storage-driver.ts";
import { ZFS_TRAITS, zfsFixture, zfsMachine } from "./driver-zfs-fixture.ts";

storageDriverConformance("zfs on a file, zfs-fuse", {
  traits: ZFS_TRAITS,
  onDisk: true,
  faultModes: ["crash"],
  fresh: async () => zfsFixture(await zfsMachine()),
});

storageDriverConformance("zfs in a dataset, zfs-fuse", {
  traits: ZFS_TRAITS,
  onDisk: true,
  faultModes: [],
  fresh: async () => zfsFixture(await zfsMachine({ tank: true }), "tank/lagan"),
});
