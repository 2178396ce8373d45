import { Failure } from "../../core/failure.ts";
import type { Volume } from "../../core/volume/volume.ts";
import {
  type ControllerGetVolumeHealthRequest,
  type ControllerGetVolumeHealthResponse,
  type ControllerListVolumeHealthRequest,
  type ControllerListVolumeHealthResponse,
  type NodeGetStorageHealthResponse,
  StorageHealthErrorType,
  type VolumeHealth,
  VolumeHealthErrorType,
} from "../shared/generated/csi.ts";
import type { CsiDoor } from "./door.ts";
import { checkSecrets, neededId, page, paged } from "./fields.ts";
import { readyVolume } from "./found.ts";

/** @throws {Failure} `unimplemented` unless people turned it on. */
export function ensureHealthOn({ settings }: CsiDoor): void {
  if (settings.health) return;
  throw new Failure(
    "unimplemented",
    "Cannot tell health: it is turned off; to turn it on: csi: { health: true } in lagan.yaml",
  );
}

/** One volume's health. */
export async function getVolumeHealth(
  door: CsiDoor,
  request: ControllerGetVolumeHealthRequest,
): Promise<ControllerGetVolumeHealthResponse> {
  ensureHealthOn(door);
  const id = neededId("volume_id", request.volumeId);
  checkSecrets(request.secrets);
  return { volumeHealth: await healthOf(door, await readyVolume(door, id)) };
}

/** The volumes that are not well. */
export async function listVolumeHealth(
  door: CsiDoor,
  request: ControllerListVolumeHealthRequest,
): Promise<ControllerListVolumeHealthResponse> {
  ensureHealthOn(door);
  checkSecrets(request.secrets);
  const asked = page(request.maxEntries, request.startingToken);
  const volumes = await door.services.volumes.list();
  const all = await Promise.all(volumes.map(({ value }) => healthOf(door, value)));
  const ill = all.filter(({ healthStatuses }) => healthStatuses.length > 0);
  const { entries, nextToken } = paged(ill, ({ volumeId }) => volumeId, asked);
  return { entries: [...entries], nextToken };
}

/** What is wrong with a volume: nothing when it is well. From what is known: no disk is asked. */
export async function healthOf({ services }: CsiDoor, volume: Volume): Promise<VolumeHealth> {
  const { health } = services.pools.describe(volume.spec.pool);
  const { INACCESSIBLE, DEGRADED } = VolumeHealthErrorType;
  if (health.state === "up") return { volumeId: volume.id, healthStatuses: [] };
  const [status, reason] =
    health.state === "faulted"
      ? ([INACCESSIBLE, "PoolFaulted"] as const)
      : ([DEGRADED, "PoolWarning"] as const);
  return { volumeId: volume.id, healthStatuses: [{ status, reason, message: health.why }] };
}

/** What is wrong with the pools. */
export async function storageHealth(door: CsiDoor): Promise<NodeGetStorageHealthResponse> {
  ensureHealthOn(door);
  const { STORAGE_DEGRADED, STORAGE_UNREACHABLE } = StorageHealthErrorType;
  return {
    backendHealth: door.services.pools.names().flatMap((name) => {
      const { health } = door.services.pools.describe(name);
      if (health.state === "up") return [];
      const faulted = health.state === "faulted";
      return {
        status: faulted ? STORAGE_UNREACHABLE : STORAGE_DEGRADED,
        reason: faulted ? "PoolFaulted" : "PoolWarning",
        message: `Pool "${name}": ${health.why}`,
        volumeCapability: undefined,
      };
    }),
  };
}
