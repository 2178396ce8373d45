import { Failure } from "../core/failure.ts";
import type { PoolName, VolumeName } from "../core/name.ts";
import { formatBytes } from "../core/size.ts";
import { formatMinute } from "../core/time.ts";
import type { Volume, VolumeSpec } from "../core/volume/volume.ts";
import type { Pools } from "./pools.ts";
import type { Recorded } from "./records.ts";

/** For a request that asks for an existing volume otherwise. */
export function exists(name: VolumeName, differences: readonly string[]): Failure {
  return new Failure(
    "already_exists",
    `Cannot create volume "${name}": it exists with other options (${differences.join("; ")})`,
  );
}

/** @throws {Failure} `failed_precondition` naming who protected it, and when. */
export function ensureUnprotected({ name, protection }: Volume): void {
  if (protection === null) return;
  throw new Failure(
    "failed_precondition",
    `Cannot remove volume "${name}": it is protected, by ${protection.by} at ${formatMinute(protection.at)}; first: lagan volume set ${name} --protect=false`,
  );
}

/** @throws {Failure} `aborted` when the record is not of the revision that was asked for. */
export function ensureRevision(found: Recorded<Volume>, ifRevision: number | undefined): void {
  if (ifRevision === undefined || found.revision === ifRevision) return;
  throw new Failure(
    "aborted",
    `Cannot change volume "${found.value.name}": it was changed meanwhile; look at it again`,
  );
}

/** A refusal because of a container that runs, with the command that stops it meanwhile and starts it again. */
export function orStop(thrown: unknown, command: string): unknown {
  if (!(thrown instanceof Failure) || !thrown.message.includes("in use by container"))
    return thrown;
  const { code, message, detail } = thrown;
  return new Failure(code, `${message}, or let that be done: ${command}`, {
    detail,
    cause: thrown,
  });
}

/** @throws {Failure} `failed_precondition` for what no volume of the pool can be; `unavailable` when it is faulted. */
export function ensurePoolCan(name: VolumeName, spec: VolumeSpec, pools: Pools): void {
  const { traits } = pools.get(spec.pool);
  if (spec.sizeBytes !== null && traits.sizeLimit === false) {
    throw noLimits(name, spec.pool, pools.namesWithSizeLimit());
  }
  if (spec.block !== true || traits.blockDevices !== undefined) return;
  throw new Failure(
    "failed_precondition",
    `Cannot create volume "${name}" as a block device: the driver of pool "${spec.pool}" makes none`,
  );
}

/** For a size limit in a pool that has none; `able` are those that can. */
function noLimits(name: VolumeName, pool: PoolName, able: readonly PoolName[]): Failure {
  const instead =
    able.length === 0
      ? "no pool here can; leave size out, or add a pool on btrfs"
      : `use one that can: ${able.join(", ")}`;
  return new Failure(
    "failed_precondition",
    `Cannot create volume "${name}" with a size limit: pool "${pool}" cannot enforce one; ${instead}`,
  );
}

/** What failed a creation, in the words of who asked for it. */
export function tooSmallFor({ name, spec }: Volume, thrown: unknown): unknown {
  return tooSmall(
    thrown,
    (held) =>
      `Cannot create volume "${name}" with a limit of ${formatBytes(spec.sizeBytes ?? 0)}: what it starts from holds ${held}; choose a larger limit`,
  );
}

/**
 * A driver's refusal of a limit that is less than what is held, in the words of who asked; anything else as it is.
 *
 * @param told From what is held, in words: the whole message.
 */
export function tooSmall(thrown: unknown, told: (held: string) => string): unknown {
  if (!(thrown instanceof Failure) || thrown.code !== "failed_precondition") return thrown;
  const referencedBytes = thrown.detail["referencedBytes"];
  if (typeof referencedBytes !== "number") return thrown;
  const { code, detail } = thrown;
  return new Failure(code, told(formatBytes(referencedBytes)), { detail, cause: thrown });
}
