import { parseRef, type Ref } from "../../core/history/ref.ts";
import {
  type PointName,
  parseAuthor,
  parseMessage,
  parsePointName,
  type Snapshot,
  shortId,
} from "../../core/history/snapshot.ts";
import type { SnapshotId } from "../../core/id.ts";
import type { VolumeName } from "../../core/name.ts";
import type { UnixMs } from "../../core/ports/clock.ts";
import { formatKeep } from "../../core/schedule/keep.ts";
import type { Profile } from "../../core/volume/profile.ts";
import type { Volume } from "../../core/volume/volume.ts";
import type { Found } from "../../services/history.ts";
import type { NamedProfile } from "../../services/profiles.ts";
import type { ScheduleStatus } from "../../services/schedules.ts";
import type { SnapshotRequest } from "../../services/snapshots.ts";
import type { MeasuredUsage, PlacedSnapshot } from "../../services/usage.ts";
import type {
  TakeBody,
  WireProfile,
  WireScheduleStatus,
  WireSnapshot,
  WireTrashedSnapshot,
} from "./history-resource.ts";

/** @throws {Failure} `invalid_argument` for a name, message or labels that cannot be. */
export function parseTake(body: TakeBody): SnapshotRequest {
  const { name, message, labels, quiet } = body;
  return {
    author: parseAuthor(body.author ?? ""),
    ...(name !== undefined && { name: parsePointName(name, "snapshot") }),
    ...(message !== undefined && { message: parseMessage(message) }),
    ...(labels !== undefined && { labels }),
    ...(quiet !== undefined && { quiet }),
  };
}

/**
 * A point of the history of `line`, which may be a branch: `data@dev` has the points of `data` as well.
 *
 * @throws {Failure} `invalid_argument` for what is neither a name nor digits of an id.
 */
export function pointOf(line: VolumeName, at: string): Ref {
  return parseRef(`${line.split("@")[0]}@${at}`);
}

/** @param head What the volume that is asked about stands on; unless told, that of the snapshot's own. */
export function formatSnapshot(
  { line, snapshot: { value, revision } }: Found,
  usage: MeasuredUsage | undefined,
  head: SnapshotId | null = line.value.tip,
): WireSnapshot {
  const { protection } = value;
  return {
    id: shortId(value.id),
    uuid: value.id,
    volume: line.value.name,
    name: value.name,
    message: value.message,
    labels: value.labels,
    author: value.author,
    createdAt: formatTime(value.createdAt),
    cause: value.cause,
    consistency: value.consistency,
    group: value.group,
    protection: protection && { by: protection.by, at: formatTime(protection.at) },
    tip: head === value.id,
    usedBytes: usage?.referencedBytes ?? null,
    exclusiveBytes: usage?.exclusiveBytes ?? null,
    revision,
  };
}

export function formatTrashedSnapshot(
  found: Found,
  usage: MeasuredUsage | undefined,
): WireTrashedSnapshot {
  const { status } = found.snapshot.value;
  const trashed = status.state === "trashed" ? status : { trashedAt: 0, expiresAt: null };
  return {
    ...formatSnapshot(found, usage),
    trashedAt: formatTime(trashed.trashedAt),
    expiresAt: trashed.expiresAt === null ? null : formatTime(trashed.expiresAt),
  };
}

export function formatScheduleStatus(status: ScheduleStatus): WireScheduleStatus {
  const { lastAt, nextAt, kept, lossWindowMs, failing } = status;
  return {
    lastAt: lastAt === null ? null : formatTime(lastAt),
    nextAt: formatTime(nextAt),
    ...{ kept, lossWindowMs, failing },
  };
}

export function formatProfile({ name, profile, createdAt }: NamedProfile): WireProfile {
  return {
    name,
    options: formatOptions(profile),
    createdAt: createdAt === null ? null : formatTime(createdAt),
  };
}

function formatOptions(profile: Profile): Readonly<Record<string, string>> {
  const { sizeBytes, pool, uid, gid, mode, protect, everyMs, keep, labels } = profile;
  const options: readonly (readonly [string, string | undefined])[] = [
    ["size", sizeBytes === undefined ? undefined : String(sizeBytes)],
    ["pool", pool],
    ["uid", uid === undefined ? undefined : String(uid)],
    ["gid", gid === undefined ? undefined : String(gid)],
    ["mode", mode === undefined ? undefined : mode.toString(8).padStart(4, "0")],
    ["protect", protect === undefined ? undefined : String(protect)],
    ["schedule", everyMs === undefined ? undefined : formatEvery(everyMs)],
    ["keep", keep === undefined ? undefined : formatKeep(keep)],
    ...Object.entries(labels).map(([key, value]) => [`label.${key}`, value] as const),
  ];
  return Object.fromEntries(
    options.flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])),
  );
}

/** As `schedule=` takes it: in the largest unit that fits. */
export function formatEvery(everyMs: number | null): string {
  if (everyMs === null) return "none";
  for (const [unit, unitMs] of [
    ["d", 86_400_000],
    ["h", 3_600_000],
    ["m", 60_000],
  ] as const) {
    if (everyMs % unitMs === 0) return `${everyMs / unitMs}${unit}`;
  }
  return `${Math.round(everyMs / 1000)}s`;
}

/** For paging: newest first, as `log` and the trash list. */
export function newestFirst(at: UnixMs, id: string): string {
  return `${String(Number.MAX_SAFE_INTEGER - at).padStart(16, "0")}/${id}`;
}

export function parseGroup(text: string): PointName {
  return parsePointName(text, "group");
}

function formatTime(time: UnixMs): string {
  return new Date(time).toISOString();
}

/** What a snapshot is measured with. */
export function placed(line: Volume, snapshot: Snapshot): PlacedSnapshot {
  return { pool: line.spec.pool, snapshot };
}
