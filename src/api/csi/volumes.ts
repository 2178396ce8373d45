import { Failure } from "../../core/failure.ts";
import { parseId, type VolumeId } from "../../core/id.ts";
import type { PoolName } from "../../core/name.ts";
import type { VolumeOptions } from "../../core/volume/options.ts";
import type { Volume } from "../../core/volume/volume.ts";
import type { Recorded } from "../../services/records.ts";
import type {
  CreateVolumeRequest,
  CreateVolumeResponse,
  VolumeContentSource,
  Volume as WireVolume,
} from "../shared/generated/csi.ts";
import { type Capability, parseCapabilities } from "./capability.ts";
import { isIn, parseRange, type SizeRange, sectorsIn, sizeIn } from "./capacity.ts";
import type { CsiDoor } from "./door.ts";
import { checkSecrets, needed, refused } from "./fields.ts";
import { findSnapshot, readyVolume } from "./found.ts";
import { inWords } from "./lanes.ts";
import { capacityOf, isNamed, marks, sourceOf, volumeNameFor } from "./marks.ts";
import { parseParameters } from "./parameters.ts";
import { ensureReachable, topologyOf } from "./topology.ts";

const IS_MOUNTED = "the volume holds files, and is mounted; ask for mount";

/** What a client asks for, read. */
interface Asked {
  readonly name: string;
  readonly range: SizeRange;
  readonly options: VolumeOptions;
  /** Id of what it is made from. */
  readonly source: string | undefined;
  readonly capability: Capability;
}

/** The volume as clients see it. */
export function wireVolume({ settings }: CsiDoor, volume: Volume): WireVolume {
  const source = sourceOf(volume);
  return {
    capacityBytes: BigInt(capacityOf(volume)),
    volumeId: volume.id,
    volumeContext: {},
    contentSource: source === undefined ? undefined : wireSource(source),
    accessibleTopology: [topologyOf(settings.node)],
  };
}

/** Makes a volume, or finds the one that the same request made. */
export async function createVolume(
  door: CsiDoor,
  request: CreateVolumeRequest,
): Promise<CreateVolumeResponse> {
  const name = needed("name", request.name);
  checkSecrets(request.secrets);
  const capabilities = parseCapabilities(request.volumeCapabilities);
  const range = parseRange(request.capacityRange);
  const { parameters, mutableParameters } = request;
  const options = await parseParameters(door.services, parameters, mutableParameters);
  ensureReachable(request.accessibilityRequirements, door.settings.node);
  const [capability] = capabilities;
  const source = sourceId(request.volumeContentSource);
  const asked = { name, range, options, source, capability };
  const { secrets: _, ...open } = request;
  const made = await door.lanes.run(`name/${name}`, inWords(open), () => make(door, asked));
  return { volume: wireVolume(door, made.value) };
}

async function make(door: CsiDoor, asked: Asked): Promise<Recorded<Volume>> {
  const { name, range, options, source, capability } = asked;
  const { volumes } = door.services;
  const volumeName = volumeNameFor(name);
  const found = await volumes.find(volumeName);
  const origin = source === undefined ? undefined : await originOf(door, source);
  if (found !== undefined) ensureSame(found.value, asked);
  const pool = origin?.volume.spec.pool ?? (await poolOf(door, options));
  const { driver, record } = door.services.pools.describe(pool);
  const { block } = capability;
  ensureCan(door, origin?.volume.spec ?? { pool, block }, capability);
  const usual = origin === undefined ? undefined : capacityOf(origin.volume) || undefined;
  const deviceBytes = usual ?? driver.traits.blockDevices?.defaultBytes ?? 0;
  const sizeBytes = block
    ? // As large as what it starts from at least: a device is never cut off.
      Math.max(sectorsIn(range, deviceBytes), usual ?? 0)
    : (sizeIn(range) ?? usual);
  if (origin !== undefined && range.limit !== null && (usual ?? 0) > range.limit) {
    throw new Failure(
      "out_of_range",
      `Cannot make a volume of at most ${range.limit} bytes: what it starts from has ${usual}`,
    );
  }
  const limited = driver.traits.sizeLimit !== false;
  const present = found === undefined ? sizeBytes : capacityOf(found.value) || undefined;
  const labels = {
    ...options.labels,
    ...marks({
      name,
      ...(!limited && sizeBytes !== undefined && { capacityBytes: sizeBytes }),
      ...(source !== undefined && { source }),
    }),
  };
  try {
    return await volumes.create(
      volumeName,
      {
        ...options,
        labels,
        block,
        ...(limited && present !== undefined && { sizeBytes: present }),
        ...(origin !== undefined && { from: origin.from }),
      },
      door.signal,
      { author: "csi" },
    );
  } catch (thrown) {
    throw inSpec(thrown, record.name);
  }
}

/** @throws {Failure} `already_exists` when the volume that has the name is another. */
function ensureSame(volume: Volume, { name, range, source, capability }: Asked): void {
  const attempt = `Cannot create volume "${volume.name}"`;
  if (!isNamed(volume, name)) {
    const why = `another volume has that name; use it by its id, ${volume.id}, or take another name`;
    throw new Failure("already_exists", `${attempt}: ${why}`);
  }
  if (!isIn(capacityOf(volume), range)) {
    const why = `it exists with ${capacityOf(volume)} bytes`;
    throw new Failure("already_exists", `${attempt}: ${why}`);
  }
  const { block = false } = volume.spec;
  if (block !== capability.block) {
    const why = `it exists, ${block ? "and is a block device" : "and holds files"}`;
    throw new Failure("already_exists", `${attempt}: ${why}`);
  }
  if (sourceOf(volume) === source) return;
  const made = sourceOf(volume) ?? "nothing";
  throw new Failure("already_exists", `${attempt}: it exists, and was made from ${made}`);
}

/** @throws {Failure} `not_found` when it does not exist. */
async function originOf(door: CsiDoor, source: string) {
  if (source.includes("@")) {
    const { line, snapshot } = await findSnapshot(door, source);
    return { volume: line.value, from: { volume: line.value.name, at: snapshot.value.id } };
  }
  const volume = await readyVolume(door, parseId<VolumeId>(source));
  return { volume, from: { volume: volume.name, at: null } };
}

/** The pool that a volume of these options would lie in. */
export async function poolOf(
  { services, defaultPool }: CsiDoor,
  options: VolumeOptions,
): Promise<PoolName> {
  const { pool, profile } = options;
  if (pool !== undefined) return pool;
  const named = profile === undefined ? undefined : await services.profiles.get(profile);
  return named?.profile.pool ?? defaultPool;
}

/** What a capability is held against: a volume's own words, or what one would have. */
interface Kind {
  readonly pool: PoolName;
  readonly block?: boolean;
}

/** @throws {Failure} `invalid_argument` for what no volume of the pool can be, or this one is not. */
export function ensureCan(
  door: CsiDoor,
  { pool, block = false }: Kind,
  capability: Capability,
): void {
  const field = "volume_capability";
  const { record, driver } = door.services.pools.describe(pool);
  if (block !== capability.block) {
    throw refused(field, block ? "the volume is a block device; ask for block" : IS_MOUNTED);
  }
  if (block && driver.traits.blockDevices === undefined) {
    throw refused(field, `pool "${pool}" has no block volumes (driver ${record.driver})`);
  }
  const { fsType } = capability;
  const facts = driver.facts();
  const has = [facts["imageFileSystem"], facts["fileSystem"], record.driver].map(String);
  if (fsType === "" || has.includes(fsType.toLowerCase())) return;
  throw refused(
    "fs_type",
    `volumes of pool "${pool}" have another (driver ${record.driver}); leave it out`,
  );
}

function sourceId(source: VolumeContentSource | undefined): string | undefined {
  if (source === undefined) return undefined;
  const { type } = source;
  if (type === undefined) throw refused("volume_content_source", "it names no source");
  const id =
    type.$case === "snapshot"
      ? needed("snapshot_id", type.value.snapshotId)
      : needed("volume_id", type.value.volumeId);
  const form = type.$case === "snapshot" ? /^[0-9a-f-]{36}@[0-9a-f-]{36}$/ : /^[0-9a-f-]{36}$/;
  if (form.test(id)) return id;
  throw new Failure("not_found", `Cannot start from that ${type.$case}: it does not exist`);
}

function wireSource(id: string): VolumeContentSource {
  return id.includes("@")
    ? { type: { $case: "snapshot", value: { snapshotId: id } } }
    : { type: { $case: "volume", value: { volumeId: id } } };
}

/** A refusal because of sizes is one of capacity_range here. */
function inSpec(thrown: unknown, pool: PoolName): unknown {
  if (!(thrown instanceof Failure)) return thrown;
  const { code, message, detail } = thrown;
  if (code === "failed_precondition" && typeof detail["referencedBytes"] === "number") {
    return new Failure("out_of_range", message, { detail, cause: thrown });
  }
  if (code === "unavailable") {
    return new Failure(code, `Cannot create a volume in pool "${pool}": ${message}`, {
      cause: thrown,
    });
  }
  return thrown;
}
