import { expect, it } from "vitest";
import { choosePool, type PoolLook } from "./choose.ts";

const GIB = 1024 ** 3;
const ext4: PoolLook = {
  ...{ fileSystem: "ext4", availableBytes: 80 * GIB, reflink: false, btrfsLoop: true },
  zfsDataset: null,
};

const TABLE: readonly (readonly [string, PoolLook, string, Readonly<Record<string, string>>])[] = [
  ["btrfs", { ...ext4, fileSystem: "btrfs", reflink: true }, "btrfs", {}],
  ["btrfs, however full", { ...ext4, fileSystem: "btrfs", availableBytes: 0 }, "btrfs", {}],
  [
    "ZFS",
    { ...ext4, fileSystem: "zfs", zfsDataset: "tank/var" },
    "zfs",
    { dataset: "tank/var/lagan" },
  ],
  ["XFS with reflink", { ...ext4, fileSystem: "xfs", reflink: true }, "directory", {}],
  ["XFS without", { ...ext4, fileSystem: "xfs" }, "btrfs", { size: `${40 * GIB}` }],
  ["ext4", ext4, "btrfs", { size: `${40 * GIB}` }],
  ["no btrfs", { ...ext4, btrfsLoop: false }, "directory", {}],
  ["just room", { ...ext4, availableBytes: 2 * GIB }, "btrfs", { size: `${GIB}` }],
  ["no room", { ...ext4, availableBytes: 2 * GIB - 1 }, "directory", {}],
  ["whole MiB", { ...ext4, availableBytes: 2 * GIB + 5 }, "btrfs", { size: `${GIB}` }],
  ["a lot", { ...ext4, availableBytes: 9 * 1024 * GIB }, "btrfs", { size: `${1024 * GIB}` }],
];

it.each(TABLE)("%s", (_, look, driver, options) => {
  const choice = choosePool(look);
  expect(choice).toMatchObject({ driver, options });
  expect(choice.why).toContain(look.fileSystem);
});
