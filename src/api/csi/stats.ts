import type { Volume } from "../../core/volume/volume.ts";
import { type VolumeUsage, VolumeUsage_Unit } from "../shared/generated/csi.ts";
import type { CsiDoor } from "./door.ts";
import { capacityOf } from "./marks.ts";

/** Bytes of a volume, against its limit or else its pool's room, and inodes where it holds files and their file system counts them. */
export async function volumeStats(
  { services, signal }: CsiDoor,
  volume: Volume,
): Promise<VolumeUsage[]> {
  const { usage, pools, layers } = services;
  const { pool } = volume.spec;
  const { driver } = pools.describe(pool);
  const last = driver.traits.instantUsage ? undefined : usage.last(volume.id);
  const { referencedBytes } = last ?? (await usage.measure(volume, signal));
  const { space } = await pools.status(pool, signal);
  const roomBytes = space?.availableBytes ?? 0;
  const limitBytes = capacityOf(volume);
  const totalBytes = limitBytes > 0 ? limitBytes : referencedBytes + roomBytes;
  const availableBytes = Math.max(0, Math.min(totalBytes - referencedBytes, roomBytes));
  const bytes: VolumeUsage = {
    available: BigInt(availableBytes),
    total: BigInt(totalBytes),
    used: BigInt(referencedBytes),
    unit: VolumeUsage_Unit.BYTES,
  };
  if (volume.spec.block) return [bytes];
  const inodes = await layers.inodes({ pool, layer: volume.head }, signal);
  if (inodes.total === 0) return [bytes];
  return [
    bytes,
    {
      available: BigInt(inodes.available),
      total: BigInt(inodes.total),
      used: BigInt(inodes.total - inodes.available),
      unit: VolumeUsage_Unit.INODES,
    },
  ];
}
