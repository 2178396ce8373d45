import type { WireVolume } from "./resource.ts";

/*
 * What goes over the wire about history, in types alone. Times are RFC 3339 in UTC, sizes are bytes.
 */

/** Who protected something, and when. */
export interface WireProtection {
  readonly by: string;
  readonly at: string;
}

/** A snapshot. */
export interface WireSnapshot {
  /** What people type after `VOLUME@`: the last 12 digits of `uuid`. */
  readonly id: string;
  readonly uuid: string;
  /** The volume, or branch, that it was taken of. */
  readonly volume: string;
  readonly name: string | null;
  readonly message: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly author: string;
  readonly createdAt: string;
  /** Why it was taken: `asked`, `scheduled`, `restore` (it keeps what a restore replaced) or `clone`. */
  readonly cause: string;
  /** Of which instant its content is: `atomic`, `frozen`, `per-file`, `unused`, `stopped` or `paused`. */
  readonly consistency: string;
  readonly group: string | null;
  readonly protection: WireProtection | null;
  /** True: the volume's head stands on it. */
  readonly tip: boolean;
  /** What a reader finds, shared bytes included; null: not measured. */
  readonly usedBytes: number | null;
  /** What it alone holds: what removing it would free; null: not measured. */
  readonly exclusiveBytes: number | null;
  readonly revision: number;
}

/** A removed snapshot that can come back. */
export interface WireTrashedSnapshot extends WireSnapshot {
  readonly trashedAt: string;
  readonly expiresAt: string | null;
}

/** What was done to containers around a piece of work. */
export interface WireQuiet {
  /** Names of those that were paused or stopped, and are as before. */
  readonly containers: readonly string[];
  /** What could not be put back, and hooks that failed after it: sentences. */
  readonly faults: readonly string[];
}

/** A snapshot that was just taken. */
export interface WireTaken extends WireSnapshot, WireQuiet {}

/** Snapshots that were taken together. */
export interface WireGroup extends WireQuiet {
  readonly group: string;
  readonly snapshots: readonly WireSnapshot[];
  /** Longest time between two of their instants, in milliseconds. */
  readonly skewMs: number;
}

/** What a restore did. */
export interface WireRestored extends WireQuiet {
  readonly volume: WireVolume;
  /** The snapshot that keeps what was replaced: restoring it undoes this. */
  readonly kept: WireSnapshot;
}

/** Asks for a snapshot. */
export interface TakeBody {
  readonly name?: string | undefined;
  readonly message?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly author?: string | undefined;
  /** What is done to the containers that write to it meanwhile. */
  readonly quiet?: "pause" | "stop" | undefined;
}

/** Asks for snapshots of several volumes. */
export interface TakeGroupBody {
  readonly group: string;
  readonly volumes: readonly string[];
  readonly message?: string | undefined;
  readonly author?: string | undefined;
  readonly quiet?: "pause" | "stop" | undefined;
}

/** Changes a snapshot; what is absent stays. */
export interface ChangeSnapshotBody {
  /** Null takes the name away. */
  readonly name?: string | null | undefined;
  readonly message?: string | undefined;
  readonly labels?: Readonly<Record<string, string | null>> | undefined;
  readonly protect?: boolean | undefined;
  readonly author?: string | undefined;
}

/** Asks for a restore. */
export interface RevertBody {
  /** Name of the snapshot, or the beginning of its id. */
  readonly snapshot: string;
  readonly author?: string | undefined;
  /** Stops the containers that use the volume, and starts them again. */
  readonly stop?: boolean | undefined;
}

/** Asks for a branch. */
export interface BranchBody {
  readonly name: string;
  /** A snapshot or branch of the same volume; absent: what the volume holds now. */
  readonly from?: string | undefined;
  readonly author?: string | undefined;
}

/** A profile: options that volumes made with it get. */
export interface WireProfile {
  readonly name: string;
  /** As `docker volume create -o` takes them. */
  readonly options: Readonly<Record<string, string>>;
  /** Null: it stands in the configuration file. */
  readonly createdAt: string | null;
}

/** Makes a profile. */
export interface ProfileBody {
  readonly name: string;
  readonly options: Readonly<Record<string, string>>;
}

/** One difference, or the last line of a comparison. */
export type WireDiffLine = WireChange | { readonly summary: WireDiffSummary };

/** One difference between two trees. */
export interface WireChange {
  /** Below the root; bytes that are not UTF-8, and `%`, as `%` and two hex digits. */
  readonly path: string;
  readonly kind: "added" | "changed" | "removed";
  readonly type: "file" | "directory" | "symlink" | "other";
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

/** How much differs. A comparison without it was cut off. */
export interface WireDiffSummary {
  readonly added: number;
  readonly changed: number;
  readonly removed: number;
  /** Sum of the sizes of what differs, before and after. */
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

/** An archive that was imported. */
export interface WireImported {
  readonly volume: WireVolume;
  readonly entries: number;
  /** Bytes of the archive as it came. */
  readonly receivedBytes: number;
  /** Of those. */
  readonly sha256: string;
  /** What was not kept: sentences. */
  readonly notes: readonly string[];
}

/** What goes into an archive, and which open file of the client it is written to. */
export interface ExportBody {
  readonly at?: string | undefined;
  readonly file: number;
  readonly inode: string;
}

/** What was written. */
export interface WireExported {
  readonly bytes: number | null;
}

/** What everything holds, from records. */
export interface WireAccounts {
  readonly volumes: readonly WireVolumeAccount[];
}

/** What one thing holds; null: not measured since the daemon started. */
export interface WireAccount {
  readonly id: string;
  readonly name: string;
  readonly usedBytes: number | null;
  readonly exclusiveBytes: number | null;
}

/** What a volume and its snapshots hold. */
export interface WireVolumeAccount extends WireAccount {
  readonly trashed: boolean;
  readonly sizeBytes: number | null;
  readonly snapshots: readonly (WireAccount & { readonly trashed: boolean })[];
}

/** Where a schedule stands. */
export interface WireScheduleStatus {
  readonly lastAt: string | null;
  /** In the past: at the next full minute. */
  readonly nextAt: string;
  /** How many snapshots the schedule has taken that are still there. */
  readonly kept: number;
  /** How much of the newest work is in no snapshot, as a time; null: there is no snapshot. */
  readonly lossWindowMs: number | null;
  /** Why the last attempt failed; null: it did not. */
  readonly failing: string | null;
}
