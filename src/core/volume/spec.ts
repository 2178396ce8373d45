import { Failure } from "../failure.ts";
import { type Snapshot, shortId } from "../history/snapshot.ts";
import type { Digest } from "../image/digest.ts";
import type { PoolName } from "../name.ts";
import { mergeSchedule, type Schedule } from "../schedule/schedule.ts";
import { formatBytes } from "../size.ts";
import { parseLabels, type VolumeOptions } from "./options.ts";
import type { ProfileTable } from "./profile.ts";
import type { Labels, Volume, VolumeSpec } from "./volume.ts";

/** Permission bits of a volume's root when nobody says otherwise: what Docker's local driver gives. */
export const DEFAULT_MODE = 0o755;

/** What a new volume will be: the request, then its profile, then the defaults. */
export interface VolumePlan {
  readonly spec: VolumeSpec;
  readonly labels: Labels;
  readonly protect: boolean;
  readonly schedule: Schedule | null;
}

/** What a new volume starts from. */
export interface Origin {
  /** Null: it is not taken yet. */
  readonly snapshot: Snapshot | null;
  /** Of the volume that the snapshot is of. */
  readonly spec: VolumeSpec;
}

/**
 * Fills a request in from its profile (labels of both are merged, the request's win) and from the defaults.
 *
 * @throws {Failure} `not_found` when there is no such profile; names those that there are. `invalid_argument` when
 * both together have too many labels, or say what to keep of no schedule.
 */
export function planVolume(
  options: VolumeOptions,
  profiles: ProfileTable,
  defaultPool: PoolName,
  origin?: Origin,
  planted?: Planted,
): VolumePlan {
  const { profile: name } = options;
  const profile = name === undefined ? undefined : profiles.get(name);
  if (name !== undefined && profile === undefined) {
    const known = [...profiles.keys()].join(", ") || "none";
    throw new Failure(
      "not_found",
      `Cannot use profile "${name}": it does not exist; there is: ${known}`,
    );
  }
  const merged = { ...profile, ...options };
  ensureOriginal(options, origin);
  ensurePlanted(options);
  return {
    spec: {
      sizeBytes: merged.sizeBytes ?? origin?.spec.sizeBytes ?? null,
      pool: origin?.spec.pool ?? merged.pool ?? defaultPool,
      profile: name ?? null,
      uid: (origin?.spec ?? merged).uid ?? null,
      gid: (origin?.spec ?? merged).gid ?? null,
      mode: (origin?.spec ?? merged).mode ?? null,
      from: origin?.snapshot?.id ?? null,
      ...imageOf(options, planted),
      ...((origin?.spec ?? options).block && { block: true }),
    },
    labels: parseLabels({ ...profile?.labels, ...options.labels }),
    protect: merged.protect ?? false,
    schedule: mergeSchedule(null, merged),
  };
}

/** The image that a new volume starts from, and the owner and mode of its directory there. */
export interface Planted {
  readonly id: Digest;
  readonly owner: Pick<VolumeSpec, "uid" | "gid" | "mode">;
}

/** Without `planted` only what is asked for: enough to compare with a volume that is there. */
function imageOf(
  { fromImage: reference, fromImagePath: path = "" }: VolumeOptions,
  planted: Planted | undefined,
): Pick<VolumeSpec, "image"> {
  if (reference === undefined) return {};
  return { ...planted?.owner, image: { reference, path, id: planted?.id ?? null } };
}

/** What comes from an image has the owner and the mode that it has there. */
function ensurePlanted({ fromImage, fromImagePath, from, uid, gid, mode }: VolumeOptions): void {
  const refuse = (what: string): Failure => new Failure("invalid_argument", `Cannot use ${what}`);
  if (fromImage === undefined) {
    if (fromImagePath !== undefined) throw refuse("from-image-path without from-image");
    return;
  }
  if (from !== undefined) throw refuse("from-image with from: a volume starts from one of them");
  if ((uid ?? gid ?? mode) === undefined) return;
  throw refuse("uid, gid or mode with from-image: a volume has those of the image's directory");
}

/** A clone shares the bytes, and the root, of what it starts from. */
function ensureOriginal({ pool, ...options }: VolumeOptions, origin: Origin | undefined): void {
  if (origin === undefined) return;
  if (pool !== undefined && pool !== origin.spec.pool) {
    throw new Failure(
      "invalid_argument",
      `Cannot use pool=${pool} with from: a clone lies in the pool of what it starts from, "${origin.spec.pool}"`,
    );
  }
  if (options.block && !origin.spec.block) {
    throw new Failure("invalid_argument", "Cannot make a block device of a volume of files");
  }
  for (const key of ["uid", "gid", "mode"] as const) {
    if (options[key] === undefined) continue;
    throw new Failure(
      "invalid_argument",
      `Cannot use ${key} with from: a clone has the owner and mode of what it starts from`,
    );
  }
}

/**
 * What a request for an existing volume asks otherwise than the volume was asked for, as sentences' parts such as
 * `size: 10 GiB, not 5 GiB`. Empty: the same. Labels, protection and schedule are not compared: they
 * change over a volume's life.
 */
export function listDifferences(volume: Volume, asked: VolumeSpec): readonly string[] {
  const has = inWords(volume.spec);
  const wants = inWords(asked);
  return Object.keys({ ...has, ...wants }).flatMap((key) =>
    (has[key] ?? "another") === (wants[key] ?? "another")
      ? []
      : [`${key}: it has ${has[key] ?? "the image's"}, asked was ${wants[key] ?? "the image's"}`],
  );
}

function inWords(spec: VolumeSpec): Readonly<Record<string, string>> {
  const { sizeBytes } = spec;
  return {
    size: sizeBytes === null ? "no limit" : `${formatBytes(sizeBytes)} (${sizeBytes} bytes)`,
    pool: spec.pool,
    profile: spec.profile ?? "none",
    ...(spec.image ? {} : ownerInWords(spec)),
    kind: spec.block ? "a block device" : "files",
    image: spec.image ? `/${spec.image.path} of ${spec.image.reference}` : "none",
    from: spec.from === null ? "nothing" : `snapshot ${shortId(spec.from)}`,
  };
}

function ownerInWords({ uid, gid, mode }: VolumeSpec): Readonly<Record<string, string>> {
  return {
    uid: String(uid ?? 0),
    gid: String(gid ?? 0),
    mode: (mode ?? DEFAULT_MODE).toString(8).padStart(4, "0"),
  };
}
