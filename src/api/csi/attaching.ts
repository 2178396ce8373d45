import { Failure } from "../../core/failure.ts";
import type {
  ControllerPublishVolumeRequest,
  ControllerPublishVolumeResponse,
  ControllerUnpublishVolumeRequest,
} from "../shared/generated/csi.ts";
import { accessOf, parseCapability } from "./capability.ts";
import type { CsiDoor } from "./door.ts";
import { checkedMap, checkSecrets, needed, neededId, type Pairs } from "./fields.ts";
import { readyVolume } from "./found.ts";
import { inWords } from "./lanes.ts";
import { ensureCan } from "./volumes.ts";

/** Where the token of an attachment is in what the client carries to the node. */
const TOKEN_KEY = "lagan.io/attachment";

/** Gives a volume to this node. */
export async function controllerPublish(
  door: CsiDoor,
  request: ControllerPublishVolumeRequest,
): Promise<ControllerPublishVolumeResponse> {
  const { secrets, ...open } = request;
  const id = neededId("volume_id", request.volumeId);
  const node = needed("node_id", request.nodeId);
  const capability = parseCapability(request.volumeCapability);
  checkSecrets(secrets);
  checkedMap("volume_context", request.volumeContext);
  const access = accessOf(capability, request.readonly);
  const { token } = await door.lanes.run(`volume/${id}`, inWords(open), async () => {
    const volume = await readyVolume(door, id);
    if (node !== door.settings.node) {
      throw new Failure(
        "not_found",
        `Cannot attach volume "${volume.name}": there is no such node`,
      );
    }
    ensureCan(door, volume.spec, capability);
    const { maxVolumes } = door.settings;
    return door.services.attachments.attach(volume, node, access, maxVolumes);
  });
  return { publishContext: { [TOKEN_KEY]: token } };
}

/** Takes a volume back from a node, or from all. What is mounted there stays mounted: the node takes that away. */
export async function controllerUnpublish(
  door: CsiDoor,
  request: ControllerUnpublishVolumeRequest,
): Promise<object> {
  const id = neededId("volume_id", request.volumeId);
  checkSecrets(request.secrets);
  const node = request.nodeId === "" ? undefined : needed("node_id", request.nodeId);
  if (id === null) return {};
  const asked = inWords({ detach: node ?? null });
  await door.lanes.run(`volume/${id}`, asked, () => door.services.attachments.detach(id, node));
  return {};
}

/** @throws {Failure} `failed_precondition` when what the client carries from the attachment was taken back. */
export async function ensureAttached(
  { services, settings }: CsiDoor,
  volume: Parameters<typeof services.attachments.ensureValid>[0],
  publishContext: Pairs,
): Promise<void> {
  const token = checkedMap("publish_context", publishContext)[TOKEN_KEY];
  // Clients need not attach volumes of a node's own.
  if (token === undefined) return;
  await services.attachments.ensureValid(volume, settings.node, token);
}
