import { Failure } from "../../core/failure.ts";
import type { Volume } from "../../core/volume/volume.ts";
import {
  type ControllerService,
  type ControllerServiceCapability,
  type DeleteVolumeRequest,
  type ListVolumesRequest,
  type ListVolumesResponse,
  ControllerServiceCapability_RPC_Type as Rpc,
  type ValidateVolumeCapabilitiesRequest,
  type ValidateVolumeCapabilitiesResponse,
} from "../shared/generated/csi.ts";
import type { Works } from "../shared/grpc-service.ts";
import { controllerPublish, controllerUnpublish } from "./attaching.ts";
import { parseCapabilities } from "./capability.ts";
import { expandVolume, getCapacity, modifyVolume } from "./changing.ts";
import type { CsiDoor } from "./door.ts";
import { checkSecrets, neededId, type Pairs, page, paged } from "./fields.ts";
import { readyVolume } from "./found.ts";
import { getVolumeHealth, listVolumeHealth } from "./health.ts";
import { NAME_LABEL } from "./marks.ts";
import { parseParameters } from "./parameters.ts";
import { createSnapshot, deleteSnapshot, getSnapshot, listSnapshots } from "./snapshots.ts";
import { createVolume, ensureCan, wireVolume } from "./volumes.ts";

/** What this driver can do, by the specification's numbers. */
const CAPABILITIES: readonly Rpc[] = [
  Rpc.CREATE_DELETE_VOLUME,
  Rpc.PUBLISH_UNPUBLISH_VOLUME,
  Rpc.LIST_VOLUMES,
  Rpc.GET_CAPACITY,
  Rpc.CREATE_DELETE_SNAPSHOT,
  Rpc.LIST_SNAPSHOTS,
  Rpc.CLONE_VOLUME,
  Rpc.PUBLISH_READONLY,
  Rpc.EXPAND_VOLUME,
  Rpc.LIST_VOLUMES_PUBLISHED_NODES,
  Rpc.GET_VOLUME,
  Rpc.SINGLE_NODE_MULTI_WRITER,
  Rpc.MODIFY_VOLUME,
  Rpc.GET_SNAPSHOT,
];
const HEALTH_CAPABILITIES: readonly Rpc[] = [Rpc.GET_VOLUME_HEALTH, Rpc.LIST_VOLUME_HEALTH];

/** Volumes and snapshots, wherever they are used. */
export function controllerWorks(door: CsiDoor): Works<typeof ControllerService> {
  const { health, expandBy } = door.settings;
  const types = [...CAPABILITIES, ...(health ? HEALTH_CAPABILITIES : [])].filter(
    (type) => type !== Rpc.EXPAND_VOLUME || expandBy === "controller",
  );
  return {
    createVolume: (request) => createVolume(door, request),
    deleteVolume: (request) => deleteVolume(door, request),
    controllerPublishVolume: (request) => controllerPublish(door, request),
    controllerUnpublishVolume: (request) => controllerUnpublish(door, request),
    validateVolumeCapabilities: (request) => validate(door, request),
    listVolumes: (request) => listVolumes(door, request),
    controllerListVolumeHealth: (request) => listVolumeHealth(door, request),
    controllerGetVolumeHealth: (request) => getVolumeHealth(door, request),
    getCapacity: (request) => getCapacity(door, request),
    controllerGetCapabilities: async () => ({ capabilities: types.map(wireCapability) }),
    createSnapshot: (request) => createSnapshot(door, request),
    deleteSnapshot: (request) => deleteSnapshot(door, request),
    listSnapshots: (request) => listSnapshots(door, request),
    getSnapshot: (request) => getSnapshot(door, request),
    controllerExpandVolume: (request) => expandVolume(door, request),
    controllerGetVolume: async ({ volumeId }) => {
      const volume = await readyVolume(door, neededId("volume_id", volumeId));
      return { volume: wireVolume(door, volume), status: await statusOf(door, volume) };
    },
    controllerModifyVolume: (request) => modifyVolume(door, request),
  };
}

function wireCapability(type: Rpc): ControllerServiceCapability {
  return { type: { $case: "rpc", value: { type } } };
}

async function statusOf({ services }: CsiDoor, { id }: Volume) {
  const attachments = await services.attachments.list(id);
  return { publishedNodeIds: attachments.map(({ node }) => node) };
}

/** Into the trash. A volume that is not there, or is there already, is success. */
async function deleteVolume(door: CsiDoor, request: DeleteVolumeRequest): Promise<object> {
  const id = neededId("volume_id", request.volumeId);
  checkSecrets(request.secrets);
  if (id === null) return {};
  await door.lanes.run(`volume/${id}`, "delete", async () => {
    const { volumes, attachments, history } = door.services;
    const found = await history.findLine(id);
    if (found === undefined) return;
    const { name, status } = found.value;
    if (status.state === "creating") {
      throw new Failure("aborted", `Cannot remove volume "${name}": it is being made; try again`);
    }
    if (status.state !== "ready") return;
    const attempt = `Cannot remove volume "${name}"`;
    const [attached] = await attachments.list(id);
    if (attached !== undefined) {
      const why = `it is attached to node "${attached.node}"; detach it first`;
      throw new Failure("failed_precondition", `${attempt}: ${why}`);
    }
    const snapshots = await history.list(name);
    const kept = snapshots.filter(({ value }) => value.labels[NAME_LABEL] !== undefined).length;
    if (kept > 0) {
      const why = `it has ${kept} snapshots that clients took; remove those first`;
      throw new Failure("failed_precondition", `${attempt}: ${why}`);
    }
    await volumes.remove(name, { askEngines: true }, door.signal);
  });
  return {};
}

/** Never changes anything. What is asked is given back when it can be had. */
async function validate(
  door: CsiDoor,
  request: ValidateVolumeCapabilitiesRequest,
): Promise<ValidateVolumeCapabilitiesResponse> {
  const id = neededId("volume_id", request.volumeId);
  checkSecrets(request.secrets);
  const capabilities = parseCapabilities(request.volumeCapabilities);
  const volume = await readyVolume(door, id);
  const { volumeContext, volumeCapabilities, parameters, mutableParameters } = request;
  const message = await faultOf(async () => {
    for (const capability of capabilities) ensureCan(door, volume.spec, capability);
    await parseParameters(door.services, parameters as Pairs, mutableParameters);
  });
  if (message !== undefined) return { confirmed: undefined, message };
  const confirmed = { volumeContext, volumeCapabilities, parameters, mutableParameters };
  return { confirmed, message: "" };
}

async function faultOf(work: () => Promise<void>): Promise<string | undefined> {
  try {
    await work();
    return undefined;
  } catch (thrown) {
    const failure = Failure.from(thrown);
    if (failure.code !== "invalid_argument") throw thrown;
    return failure.message;
  }
}

async function listVolumes(
  door: CsiDoor,
  request: ListVolumesRequest,
): Promise<ListVolumesResponse> {
  const asked = page(request.maxEntries, request.startingToken);
  const { volumes, attachments } = door.services;
  const all = (await volumes.list()).map(({ value }) => value);
  const { entries, nextToken } = paged(all, ({ id }) => id, asked);
  const attached = await attachments.list();
  return {
    nextToken,
    entries: entries.map((volume) => {
      const nodes = attached.filter((one) => one.volume === volume.id).map(({ node }) => node);
      return { volume: wireVolume(door, volume), status: { publishedNodeIds: nodes } };
    }),
  };
}
