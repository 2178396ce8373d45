import { basename, dirname, join } from "node:path";
import { Failure } from "../../core/failure.ts";
import type { Volume } from "../../core/volume/volume.ts";
import {
  type NodePublishVolumeRequest,
  type NodeService,
  type NodeStageVolumeRequest,
  NodeServiceCapability_RPC_Type as Rpc,
} from "../shared/generated/csi.ts";
import type { Works } from "../shared/grpc-service.ts";
import { ensureAttached } from "./attaching.ts";
import { accessOf, parseCapability } from "./capability.ts";
import { parseRange } from "./capacity.ts";
import { ensureKind, expand } from "./changing.ts";
import type { CsiDoor } from "./door.ts";
import { checkedMap, checkSecrets, neededId, neededPath, refused } from "./fields.ts";
import { readyVolume } from "./found.ts";
import { ensureHealthOn, healthOf, storageHealth } from "./health.ts";
import { inWords } from "./lanes.ts";
import { volumeStats } from "./stats.ts";
import { topologyOf } from "./topology.ts";
import { ensureCan } from "./volumes.ts";

const CAPABILITIES: readonly Rpc[] = [
  Rpc.STAGE_UNSTAGE_VOLUME,
  Rpc.GET_VOLUME_STATS,
  Rpc.EXPAND_VOLUME,
  Rpc.SINGLE_NODE_MULTI_WRITER,
  Rpc.VOLUME_MOUNT_GROUP,
];
const HEALTH_CAPABILITIES: readonly Rpc[] = [Rpc.GET_VOLUME_HEALTH, Rpc.GET_STORAGE_HEALTH];

/** What a client asks of the node that a volume is used on. */
export function nodeWorks(door: CsiDoor): Works<typeof NodeService> {
  const { settings, services } = door;
  const types = [...CAPABILITIES, ...(settings.health ? HEALTH_CAPABILITIES : [])];
  return {
    nodeStageVolume: (request) => stage(door, request),
    nodeUnstageVolume: (request) =>
      takeAway(door, "staging_target_path", request.volumeId, request.stagingTargetPath),
    nodePublishVolume: (request) => publish(door, request),
    nodeUnpublishVolume: (request) =>
      takeAway(door, "target_path", request.volumeId, request.targetPath),
    nodeGetVolumeStats: async (request) => {
      const id = neededId("volume_id", request.volumeId);
      if (request.volumePath === "") throw refused("volume_path", "it is missing");
      const volume = await readyVolume(door, id);
      await ensureAt(door, volume, request.volumePath);
      return { usage: await volumeStats(door, volume) };
    },
    nodeGetVolumeHealth: async ({ volumeId }) => {
      ensureHealthOn(door);
      const volume = await readyVolume(door, neededId("volume_id", volumeId));
      return { volumeHealth: await healthOf(door, volume) };
    },
    nodeGetStorageHealth: async ({ secrets }) => {
      checkSecrets(secrets);
      return storageHealth(door);
    },
    nodeExpandVolume: async ({ secrets, ...request }) => {
      const id = neededId("volume_id", request.volumeId);
      if (request.volumePath === "") throw refused("volume_path", "it is missing");
      const range = parseRange(request.capacityRange);
      checkSecrets(secrets);
      return door.lanes.run(`volume/${id}`, inWords(request), async () => {
        const volume = await readyVolume(door, id);
        ensureKind(door, volume, request.volumeCapability);
        await ensureAt(door, volume, request.volumePath);
        return { capacityBytes: BigInt(await expand(door, volume, range)) };
      });
    },
    nodeGetCapabilities: async () => ({
      capabilities: types.map((type) => ({ type: { $case: "rpc", value: { type } } })),
    }),
    nodeGetInfo: async () => ({
      nodeId: settings.node,
      maxVolumesPerNode: BigInt(settings.maxVolumes),
      accessibleTopology: topologyOf(settings.node),
    }),
  };

  function takeAway(
    { lanes, signal }: CsiDoor,
    field: "target_path" | "staging_target_path",
    volumeId: string,
    path: string,
  ): Promise<object> {
    const id = neededId("volume_id", volumeId);
    const plain = neededPath(field, path);
    if (id === null) return Promise.resolve({});
    return lanes.run(`volume/${id}`, inWords({ [field]: plain }), async () => {
      const where = await inPlace(door, plain);
      // The pool is not asked, and the volume may be gone: what is mounted is taken away all the same.
      const volume = (await services.history.findLine(id))?.value;
      if (where === undefined) return {};
      const { targets } = services;
      if (field === "target_path") await targets.unpublish(id, volume, where, signal);
      else await targets.unstage(id, volume, where, signal);
      return {};
    });
  }
}

async function stage(door: CsiDoor, request: NodeStageVolumeRequest): Promise<object> {
  const { secrets, ...open } = request;
  const id = neededId("volume_id", request.volumeId);
  const path = neededPath("staging_target_path", request.stagingTargetPath);
  const capability = parseCapability(request.volumeCapability);
  checkSecrets(secrets);
  checkedMap("volume_context", request.volumeContext);
  return door.lanes.run(`volume/${id}`, inWords(open), async () => {
    const volume = await readyVolume(door, id);
    ensureCan(door, volume.spec, capability);
    await ensureAttached(door, volume, request.publishContext);
    const where = await neededPlace(door, "staging_target_path", path);
    const { targets, mounts } = door.services;
    const access = accessOf(capability, false);
    await targets.stage(volume, where, access, door.signal);
    if (capability.group !== null && !access.readOnly) {
      const users = await mounts.users(volume, door.signal);
      const whole = users.every(({ target }) => target !== null);
      await door.giveToGroup(where, capability.group, whole, door.signal);
    }
    return {};
  });
}

async function publish(door: CsiDoor, request: NodePublishVolumeRequest): Promise<object> {
  const { secrets, ...open } = request;
  const id = neededId("volume_id", request.volumeId);
  const path = neededPath("target_path", request.targetPath);
  const capability = parseCapability(request.volumeCapability);
  checkSecrets(secrets);
  const { volumeContext } = request;
  if (checkedMap("volume_context", volumeContext)["csi.storage.k8s.io/ephemeral"] === "true") {
    throw refused("volume_context", "volumes that live as long as a pod are not made here");
  }
  if (request.stagingTargetPath === "") {
    throw new Failure(
      "failed_precondition",
      "Cannot publish the volume: it has to be staged first",
    );
  }
  const staging = neededPath("staging_target_path", request.stagingTargetPath);
  return door.lanes.run(`volume/${id}`, inWords(open), async () => {
    const volume = await readyVolume(door, id);
    ensureCan(door, volume.spec, capability);
    await ensureAttached(door, volume, request.publishContext);
    const at = {
      path: await neededPlace(door, "target_path", path),
      staging: await neededPlace(door, "staging_target_path", staging),
    };
    const access = accessOf(capability, request.readonly);
    await door.services.targets.publish(volume, at, access, door.signal);
    return {};
  });
}

/** @throws {Failure} `not_found` when the volume is not mounted there. */
async function ensureAt(door: CsiDoor, volume: Volume, path: string): Promise<void> {
  const where = path.startsWith("/")
    ? await inPlace(door, neededPath("volume_path", path))
    : undefined;
  const { targets } = door.services;
  if (where !== undefined && (await targets.isAt(volume, where, door.signal))) return;
  throw new Failure(
    "not_found",
    `Cannot find volume "${volume.name}" there: it is not mounted at that path`,
  );
}

/** The path with the links of its directory followed, as the mount table shows it; undefined when that is not there. */
async function inPlace(door: CsiDoor, path: string): Promise<string | undefined> {
  const directory = await door.realDirectory(dirname(path));
  return directory === undefined ? undefined : join(directory, basename(path));
}

async function neededPlace(door: CsiDoor, field: string, path: string): Promise<string> {
  const place = await inPlace(door, path);
  if (place !== undefined) return place;
  throw new Failure(
    "failed_precondition",
    `Cannot use ${field}: the directory that it is in does not exist`,
  );
}
