import { z } from "zod";
import { Failure } from "../../core/failure.ts";
import { parseLineName, type Ref } from "../../core/history/ref.ts";
import { type PointName, parsePointName, shortId } from "../../core/history/snapshot.ts";
import { parseVolumeName, type VolumeName } from "../../core/name.ts";
import { formatBytes } from "../../core/size.ts";
import { parseVolumeOptions, type VolumeOptions } from "../../core/volume/options.ts";
import type { Volume } from "../../core/volume/volume.ts";
import type { MeasuredUsage } from "../../services/usage.ts";
import { parsePluginBody } from "../shared/plugin-body.ts";

/** Longest mount ID that is taken, in characters; Docker's and Podman's have 64. */
export const MOUNT_ID_LIMIT = 256;

const NAMED = z.object({ Name: z.string() });
const CREATE = NAMED.extend({
  // `docker run` sends null, `docker volume create` an object, Podman nothing.
  Opts: z.record(z.string(), z.string()).nullish(),
});
const MOUNT = NAMED.extend({
  ID: z
    .string()
    .min(1)
    .max(MOUNT_ID_LIMIT)
    .regex(/^[\x21-\x7e]*$/, "only printable ASCII is allowed"),
});

/**
 * The volume's name in a request.
 *
 * @throws {Failure} `invalid_argument` when the body is empty (Docker repeats a call whose connection broke with
 * an empty body, and takes an answer without error for success), is not JSON, or names no volume.
 */
export function parseNamed(body: string): VolumeName {
  return parseName(parsePluginBody(NAMED, body).Name);
}

/** What a creation asks for: a volume, or a branch that is to be there, or (`make`) to be made. */
export type Creation =
  | { readonly kind: "volume"; readonly name: VolumeName; readonly options: VolumeOptions }
  | {
      readonly kind: "branch";
      readonly name: VolumeName;
      readonly of: VolumeName;
      readonly branch: PointName;
      readonly make: boolean;
      readonly from?: Ref;
    };

/**
 * A creation request. `-o branch=dev` with the name `data@dev` makes a branch; without it nobody makes one by a slip of
 * the finger in `docker run -v`.
 *
 * @throws {Failure} as {@link parseNamed}, and for its options.
 */
export function parseCreate(body: string): Creation {
  const { Name, Opts } = parsePluginBody(CREATE, body);
  const { branch: asked, ...others } = Opts ?? {};
  const name = parseName(Name);
  const make = asked !== undefined;
  const [of = "", at] = name.split("@");
  if (at === undefined && !make) {
    return { kind: "volume", name, options: parseVolumeOptions(others) };
  }
  const branch = parsePointName(asked ?? at ?? "", "branch");
  const refuse = (why: string): Failure =>
    new Failure("invalid_argument", `Cannot create "${name}": ${why}`);
  if (branch !== at) {
    throw refuse(
      `a branch is named VOLUME@BRANCH; use: docker volume create -d lagan -o branch=${branch} ${of}@${branch}`,
    );
  }
  const surplus = Object.keys(others).filter((key) => key !== "from");
  const { from } = parseVolumeOptions(others);
  if (surplus.length > 0) {
    throw refuse(
      `a branch takes no option ${surplus.join(", ")}: it is in all but its content as the volume is; allowed are branch, from`,
    );
  }
  return { kind: "branch", name, of: parseVolumeName(of), branch, make, ...(from && { from }) };
}

/** A Mount or Unmount request. @throws {Failure} as {@link parseNamed}. */
export function parseMount(body: string): { readonly name: VolumeName; readonly mountId: string } {
  const { Name, ID } = parsePluginBody(MOUNT, body);
  return { name: parseName(Name), mountId: ID };
}

/** A volume's name, or a branch's. A snapshot is told apart from a bad name: it can be used, though not as it is. */
function parseName(text: string): VolumeName {
  const [, volume = "", digits] = /^([^@]+)@([0-9a-fA-F][0-9a-fA-F-]*)$/.exec(text) ?? [];
  if (digits === undefined) return parseLineName(text);
  const name = parseVolumeName(volume);
  throw new Failure(
    "invalid_argument",
    `Cannot use "${name}@${digits}" as a volume: what stands behind the @ is taken for an id, and a snapshot never changes; use a copy that does: lagan clone ${name}@${digits} NAME, or: lagan branch create ${name} BRANCH --from ${name}@${digits}`,
  );
}

/** What Docker shows of a volume. `Status` appears in `docker volume inspect` only. */
export interface WireVolume {
  readonly Name: string;
  readonly Mountpoint?: string;
  readonly CreatedAt: string;
  readonly Status: Readonly<Record<string, unknown>>;
}

/** What {@link formatVolume} tells beside the record. */
export interface VolumeFacts {
  readonly driver: string;
  readonly health: string;
  readonly mounts: number;
  readonly usage: MeasuredUsage | undefined;
  /** How many snapshots of its own it has. */
  readonly snapshots: number;
  /** Left out when it is not known: never empty, which Docker would mount as its own working directory. */
  readonly mountpoint: string | undefined;
}

/** The answer to Get. `CreatedAt` is RFC 3339: anything else makes Docker drop the volume. */
export function formatVolume(volume: Volume, facts: VolumeFacts): WireVolume {
  const { sizeBytes, pool, profile } = volume.spec;
  return {
    Name: volume.name,
    ...(facts.mountpoint === undefined ? {} : { Mountpoint: facts.mountpoint }),
    CreatedAt: new Date(volume.createdAt).toISOString(),
    Status: {
      id: volume.id,
      pool,
      driver: facts.driver,
      health: facts.health,
      mounts: facts.mounts,
      size: sizeBytes === null ? "no limit" : formatBytes(sizeBytes),
      used: facts.usage === undefined ? "not measured" : formatBytes(facts.usage.referencedBytes),
      protected: volume.protection !== null,
      snapshots: facts.snapshots,
      ...(volume.branch === null ? {} : { branch: volume.branch.name }),
      ...(volume.tip === null ? {} : { tip: shortId(volume.tip) }),
      ...(volume.schedule ? { schedule: "on" } : {}),
      ...(profile === null ? {} : { profile }),
      ...(Object.keys(volume.labels).length === 0 ? {} : { labels: volume.labels }),
    },
  };
}
