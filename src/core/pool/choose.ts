import { formatBytes } from "../size.ts";
import type { PoolRecord } from "./pool.ts";

/** What a look at the machine found, as far as the choice of a driver needs it. */
export interface PoolLook {
  /** Of the state directory, as `/proc/filesystems` spells it. */
  readonly fileSystem: string;
  readonly availableBytes: number;
  /** The ZFS dataset that the state directory is in, where ZFS takes commands; null: in none. */
  readonly zfsDataset: string | null;
  /** Files there can share bytes (FICLONE). */
  readonly reflink: boolean;
  /** The kernel can mount btrfs, mkfs.btrfs is installed, and there are loop devices. */
  readonly btrfsLoop: boolean;
}

/** Least and most that a loop file is made of itself, in bytes. */
export const LOOP_FILE_DEFAULT_BYTES: { readonly least: number; readonly most: number } = {
  least: 1024 ** 3,
  most: 1024 ** 4,
};

/** What `auto` chooses: the first of these that the machine has. */
export function choosePool(look: PoolLook): Pick<PoolRecord, "driver" | "options" | "why"> {
  const on = `the state directory is on ${look.fileSystem}`;
  if (look.fileSystem === "btrfs") {
    return { driver: "btrfs", options: {}, why: `${on}: volumes are its subvolumes` };
  }
  if (look.zfsDataset !== null) {
    return {
      driver: "zfs",
      options: { dataset: `${look.zfsDataset}/lagan` },
      why: `${on}, in the ZFS dataset ${look.zfsDataset}: volumes are datasets below it`,
    };
  }
  if (look.fileSystem === "xfs" && look.reflink) {
    return {
      driver: "directory",
      options: {},
      why: `${on} with reflink: copies share their bytes`,
    };
  }
  if (!look.btrfsLoop) {
    return {
      driver: "directory",
      options: {},
      why: `${on}, and this machine cannot mount btrfs from a file (it needs btrfs in the kernel, mkfs.btrfs and loop devices): plain directories, without size limits`,
    };
  }
  const half = Math.floor(look.availableBytes / 2);
  const { least, most } = LOOP_FILE_DEFAULT_BYTES;
  if (half < least) {
    return {
      driver: "directory",
      options: {},
      why: `${on} with ${formatBytes(look.availableBytes)} of room, half of which is too little for a btrfs loop file (${formatBytes(least)}): plain directories, without size limits`,
    };
  }
  const sizeBytes = Math.min(most, half - (half % 1024 ** 2));
  return {
    driver: "btrfs",
    options: { size: `${sizeBytes}` },
    why: `${on}, which has neither snapshots nor size limits: a btrfs loop file of ${formatBytes(sizeBytes)} in it; good for trying and for development, else give the pool a disk`,
  };
}
