import { Failure } from "../../core/failure.ts";
import type { Volume } from "../../core/volume/volume.ts";
import type {
  ControllerExpandVolumeRequest,
  ControllerExpandVolumeResponse,
  ControllerModifyVolumeRequest,
  GetCapacityRequest,
  GetCapacityResponse,
  VolumeCapability,
} from "../shared/generated/csi.ts";
import { parseCapabilities, parseCapability } from "./capability.ts";
import { parseRange, type SizeRange, sectorsIn } from "./capacity.ts";
import type { CsiDoor } from "./door.ts";
import { checkSecrets, neededId, refused } from "./fields.ts";
import { readyVolume } from "./found.ts";
import { inWords } from "./lanes.ts";
import { capacityMark, capacityOf } from "./marks.ts";
import { parseMutable, parseParameters } from "./parameters.ts";
import { covers } from "./topology.ts";
import { ensureCan, poolOf } from "./volumes.ts";

/** Makes a volume larger, in use or not: nothing is left for the node to do. */
export async function expandVolume(
  door: CsiDoor,
  request: ControllerExpandVolumeRequest,
): Promise<ControllerExpandVolumeResponse> {
  const { secrets, ...open } = request;
  const id = neededId("volume_id", request.volumeId);
  if (request.capacityRange === undefined) throw refused("capacity_range", "it is missing");
  const range = parseRange(request.capacityRange);
  checkSecrets(secrets);
  return door.lanes.run(`volume/${id}`, inWords(open), async () => {
    const volume = await readyVolume(door, id);
    ensureKind(door, volume, request.volumeCapability);
    const bytes = await expand(door, volume, range);
    return { capacityBytes: BigInt(bytes), nodeExpansionRequired: false };
  });
}

/** What a capability says of a volume that is there, when it is said at all. @throws {Failure} `invalid_argument`. */
export function ensureKind(
  door: CsiDoor,
  { spec }: Volume,
  capability: VolumeCapability | undefined,
): void {
  if (capability !== undefined) ensureCan(door, spec, parseCapability(capability));
}

/** @throws {Failure} `out_of_range` for a size that it is too large for, or that cannot be. */
export async function expand(door: CsiDoor, volume: Volume, range: SizeRange): Promise<number> {
  const { volumes, resizes, pools } = door.services;
  const present = await presentBytes(door, volume);
  const { required } = range;
  const asked = required === null ? 0 : volume.spec.block ? sectorsIn(range, 0) : required;
  if (range.limit !== null && present > range.limit) {
    throw new Failure(
      "out_of_range",
      `Cannot make volume "${volume.name}" at most ${range.limit} bytes large: it has ${present}, and never gets smaller`,
    );
  }
  if (present >= asked) return present;
  const { driver } = pools.describe(volume.spec.pool);
  if (driver.traits.sizeLimit === false) {
    await volumes.update(volume.name, { labels: capacityMark(asked) }, door.signal);
    return asked;
  }
  // Without a limit or a size of its own it is as large as can be.
  if (present === 0) return asked;
  await resizes.resize(volume.name, asked, door.signal);
  return asked;
}

/** The size of a volume; 0: none. One that was made without a limit may have the size that its driver gave it. */
async function presentBytes(
  { services: { pools }, signal }: CsiDoor,
  volume: Volume,
): Promise<number> {
  const { pool, sizeBytes } = volume.spec;
  if (sizeBytes !== null || pools.describe(pool).driver.traits.sizeLimit === false) {
    return capacityOf(volume);
  }
  return (await pools.get(pool).usage(volume.head, signal)).capacityBytes ?? 0;
}

/** Changes what can be changed of a volume: all of it or, for anything wrong, nothing. */
export async function modifyVolume(
  door: CsiDoor,
  request: ControllerModifyVolumeRequest,
): Promise<object> {
  const { secrets, ...open } = request;
  const id = neededId("volume_id", request.volumeId);
  checkSecrets(secrets);
  await door.lanes.run(`volume/${id}`, inWords(open), async () => {
    const { volumes, profiles } = door.services;
    const volume = await readyVolume(door, id);
    const options = await parseMutable(door.services, request.mutableParameters);
    const profile =
      options.profile === undefined ? undefined : (await profiles.get(options.profile)).profile;
    const { protect, everyMs, keep } = { ...profile, ...options };
    const labels = { ...profile?.labels, ...options.labels };
    const schedule = {
      ...(everyMs !== undefined && { everyMs }),
      ...(keep !== undefined && { keep }),
    };
    await volumes.update(
      volume.name,
      { labels, schedule, author: "csi", ...(protect !== undefined && { protect }) },
      door.signal,
    );
  });
  return {};
}

/** Room of the pool that such a volume would lie in; none where this node is not. */
export async function getCapacity(
  door: CsiDoor,
  request: GetCapacityRequest,
): Promise<GetCapacityResponse> {
  const options = await parseParameters(door.services, request.parameters);
  const nothing = { maximumVolumeSize: undefined, minimumVolumeSize: undefined };
  const { accessibleTopology } = request;
  if (accessibleTopology !== undefined && !covers(accessibleTopology, door.settings.node)) {
    return { availableCapacity: 0n, ...nothing };
  }
  const pool = await poolOf(door, options);
  if (request.volumeCapabilities.length > 0) {
    for (const capability of parseCapabilities(request.volumeCapabilities)) {
      ensureCan(door, { pool, block: capability.block }, capability);
    }
  }
  const { space } = await door.services.pools.status(pool, door.signal);
  return { availableCapacity: BigInt(space?.availableBytes ?? 0), ...nothing };
}
