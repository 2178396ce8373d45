import type { z } from "zod";
import { Failure } from "../../core/failure.ts";
import { shortId } from "../../core/history/snapshot.ts";
import { quote } from "../../core/name.ts";
import type { Operation } from "../../core/operation/operation.ts";
import type { UnixMs } from "../../core/ports/clock.ts";
import type { Event } from "../../core/ports/events.ts";
import type { PoolHealth } from "../../core/ports/storage-driver.ts";
import { formatKeep } from "../../core/schedule/keep.ts";
import { parseLabels, parseVolumeOptions, type VolumeOptions } from "../../core/volume/options.ts";
import { DEFAULT_MODE } from "../../core/volume/spec.ts";
import type { Volume } from "../../core/volume/volume.ts";
import type { PoolStatus } from "../../services/pools.ts";
import type { Copied } from "../../services/underway.ts";
import type { MeasuredUsage } from "../../services/usage.ts";
import { formatEvery } from "./history-codec.ts";
import type {
  CreateVolumeBody,
  WireEvent,
  WireHealth,
  WireOperation,
  WirePool,
  WireTrashed,
  WireUsage,
  WireVolume,
} from "./resource.ts";

/**
 * A value of the request held to `schema`.
 *
 * @param what `the query` or `the request body`, for messages.
 * @param known Names that an object of this schema may have, for the message about one that is unknown.
 * @throws {Failure} `invalid_argument` naming every fault.
 */
export function parseWith<T>(
  schema: z.ZodType<T>,
  value: unknown,
  what: string,
  known: readonly string[],
): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const allowed = known.length === 0 ? "none is allowed" : `allowed are ${known.join(", ")}`;
  const faults = result.error.issues.slice(0, 5).map((issue) => {
    if (issue.code === "unrecognized_keys") {
      return `${issue.keys.map(quote).join(", ")} is unknown; ${allowed}`;
    }
    const where = issue.path.map((key) => quoteKey(String(key))).join(".");
    const why = issue.message.replace("Invalid input: ", "");
    return where === "" ? why : `${where}: ${why}`;
  });
  throw new Failure("invalid_argument", `Cannot read ${what}: ${faults.join("; ")}`);
}

function quoteKey(key: string): string {
  return /^[\w.-]{1,64}$/.test(key) ? key : quote(key);
}

/** Options of a creation: `options` and `labels` together. @throws {Failure} as `parseVolumeOptions`. */
export function parseCreation(body: CreateVolumeBody): VolumeOptions {
  const options = parseVolumeOptions(body.options ?? {});
  const labels = body.labels ?? {};
  const twice = Object.keys(labels).find((key) => Object.hasOwn(options.labels, key));
  if (twice !== undefined) {
    throw new Failure(
      "invalid_argument",
      `Cannot set label ${quote(twice)}: it stands in options and in labels; give it once`,
    );
  }
  return { ...options, labels: parseLabels({ ...options.labels, ...labels }) };
}

/** What {@link formatVolume} tells beside the record. */
export interface VolumeFacts {
  readonly revision: number;
  readonly driver: string;
  readonly health: PoolHealth;
  readonly mounts: number;
  readonly usage: MeasuredUsage | undefined;
}

export function formatVolume(volume: Volume, facts: VolumeFacts): WireVolume {
  const { sizeBytes, pool, profile, uid, gid, mode } = volume.spec;
  const { usage } = facts;
  return {
    id: volume.id,
    name: volume.name,
    pool,
    driver: facts.driver,
    sizeBytes,
    block: volume.spec.block ?? false,
    usedBytes: usage?.referencedBytes ?? null,
    usedAt: usage === undefined ? null : formatTime(usage.at),
    labels: volume.labels,
    protected: volume.protection !== null,
    protection: volume.protection && {
      by: volume.protection.by,
      at: formatTime(volume.protection.at),
    },
    branch: volume.branch,
    tip: volume.tip && shortId(volume.tip),
    from: volume.spec.from && shortId(volume.spec.from),
    image: volume.spec.image ?? null,
    schedule: volume.schedule
      ? { every: formatEvery(volume.schedule.everyMs), keep: formatKeep(volume.schedule.keep) }
      : null,
    createdAt: formatTime(volume.createdAt),
    options: {
      uid: uid ?? 0,
      gid: gid ?? 0,
      mode: (mode ?? DEFAULT_MODE).toString(8).padStart(4, "0"),
      profile,
    },
    mounts: facts.mounts,
    // A pool that asks for attention serves all the same; `lagan pool ls` tells about it.
    health: facts.health.state === "faulted" ? formatHealth(facts.health) : { state: "ok" },
    revision: facts.revision,
  };
}

export function formatTrashed(volume: Volume, facts: VolumeFacts): WireTrashed {
  const { status } = volume;
  const trashed = status.state === "trashed" ? status : { trashedAt: 0, expiresAt: null };
  return {
    ...formatVolume(volume, facts),
    trashedAt: formatTime(trashed.trashedAt),
    expiresAt: trashed.expiresAt === null ? null : formatTime(trashed.expiresAt),
  };
}

export function formatUsage(volume: Volume, usage: MeasuredUsage): WireUsage {
  return {
    usedBytes: usage.referencedBytes,
    exclusiveBytes: usage.exclusiveBytes,
    sizeBytes: volume.spec.sizeBytes,
    measuredAt: formatTime(usage.at),
  };
}

export function formatHealth(health: PoolHealth): WireHealth {
  return health.state === "up" ? { state: "ok" } : { state: health.state, why: health.why };
}

export function formatPool({ pool, health, traits, facts, space }: PoolStatus): WirePool {
  return {
    name: pool.name,
    driver: pool.driver,
    why: pool.why,
    options: pool.options,
    createdAt: formatTime(pool.createdAt),
    health: formatHealth(health),
    totalBytes: space?.totalBytes ?? null,
    availableBytes: space?.availableBytes ?? null,
    traits: {
      sizeLimit: traits.sizeLimit === false ? null : traits.sizeLimit.errno,
      liveSnapshots: traits.liveSnapshots === false ? null : traits.liveSnapshots,
      instantClones: traits.instantClones,
      instantUsage: traits.instantUsage,
    },
    facts,
  };
}

export function formatOperation(operation: Operation, copied: Copied | undefined): WireOperation {
  const { status } = operation;
  return {
    id: operation.id,
    verb: operation.verb,
    volumeId: operation.volume,
    target: operation.target,
    state: status.state,
    startedAt: formatTime(operation.startedAt),
    finishedAt: status.state === "running" ? null : formatTime(status.finishedAt),
    why: status.state === "failed" ? status.why : null,
    doneBytes: copied?.doneBytes ?? null,
    totalBytes: copied?.totalBytes ?? null,
  };
}

export function formatEvent(event: Event): WireEvent {
  return { ...event, at: formatTime(event.at) };
}

/** RFC 3339. */
export function formatTime(at: UnixMs): string {
  return new Date(at).toISOString();
}
