import type { FailureCode } from "../../core/failure.ts";
import type { WireScheduleStatus } from "./history-resource.ts";

/*
 * What goes over the wire, in types alone: the daemon's schemas are checked against these, and the client has
 * them without loading a schema library. Times are RFC 3339 in UTC, sizes are bytes.
 */

/** Whether a volume or pool serves; `why` is a whole sentence. */
export type WireHealth =
  | { readonly state: "ok" }
  | { readonly state: "warning"; readonly why: string }
  | { readonly state: "faulted"; readonly why: string };

/** A volume. */
export interface WireVolume {
  readonly id: string;
  readonly name: string;
  readonly pool: string;
  readonly driver: string;
  /** Most bytes that it may hold; null: no limit. */
  readonly sizeBytes: number | null;
  /** It is a block device, not a tree of files. */
  readonly block: boolean;
  /** Bytes that it held when it was last measured; null: never measured since the daemon started. */
  readonly usedBytes: number | null;
  readonly usedAt: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly protected: boolean;
  /** Who protected it, and when. */
  readonly protection: { readonly by: string; readonly at: string } | null;
  /** Of which volume it is a branch, by id. */
  readonly branch: { readonly of: string; readonly name: string } | null;
  /** Short ids of the snapshots that its head stands on, and that it was made from. */
  readonly tip: string | null;
  readonly from: string | null;
  /** The image that it was made from, as it was asked for, and the directory in it. */
  readonly image: {
    readonly reference: string;
    readonly path: string;
    readonly id: string | null;
  } | null;
  /** When snapshots are taken by themselves, and which stay. */
  readonly schedule: { readonly every: string; readonly keep: string } | null;
  /** Where it stands; absent in listings. */
  readonly scheduleStatus?: WireScheduleStatus | null | undefined;
  /** Directory of its content on this node; null: it is mounted only while it is used, or cannot be reached. Absent in listings. */
  readonly path?: string | null | undefined;
  readonly createdAt: string;
  readonly options: {
    readonly uid: number;
    readonly gid: number;
    /** Permission bits of the root in octal, such as `0755`. */
    readonly mode: string;
    readonly profile: string | null;
  };
  /** Mounts that engines have announced and not taken back. */
  readonly mounts: number;
  /** That of its pool. */
  readonly health: WireHealth;
  /** Changes with every change of the record; the ETag. */
  readonly revision: number;
}

/** A removed volume that can come back. */
export interface WireTrashed extends WireVolume {
  readonly trashedAt: string;
  /** When it is removed for good; null: when the trash is emptied. */
  readonly expiresAt: string | null;
}

/** A volume that was just removed. */
export interface WireRemoved extends WireTrashed {
  /** True: it lies in the trash and `POST /v1/trash/ID/restore` brings it back. False: the trash is turned off. */
  readonly restorable: boolean;
}

/** What a volume holds, measured for this answer. */
export interface WireUsage {
  /** Bytes that a reader finds, shared ones included. */
  readonly usedBytes: number;
  /** Bytes that removing it would free. */
  readonly exclusiveBytes: number;
  readonly sizeBytes: number | null;
  readonly measuredAt: string;
}

/** What emptying the trash did. */
export interface WireEmptied {
  readonly removed: readonly { readonly id: string; readonly name: string }[];
  /** Those that are still there, and why. They can be tried again. */
  readonly failed: readonly { readonly id: string; readonly name: string; readonly why: string }[];
}

/** A pool. */
export interface WirePool {
  readonly name: string;
  readonly driver: string;
  /** Why it has this driver. */
  readonly why: string;
  readonly options: Readonly<Record<string, string>>;
  readonly createdAt: string;
  readonly health: WireHealth;
  /** Null while the pool is faulted. */
  readonly totalBytes: number | null;
  readonly availableBytes: number | null;
  readonly traits: {
    /** What a writer over a volume's limit gets; null: the pool cannot limit volumes. */
    readonly sizeLimit: "EDQUOT" | "ENOSPC" | null;
    readonly liveSnapshots: "atomic" | "frozen" | "per-file" | null;
    readonly instantClones: boolean;
    readonly instantUsage: boolean;
  };
  /** Where its bytes lie. */
  readonly facts: Readonly<Record<string, string | number | boolean>>;
}

/** A piece of work of several steps. */
export interface WireOperation {
  readonly id: string;
  readonly verb: string;
  /** Null: it is about an image. */
  readonly volumeId: string | null;
  /** The volume's name when the work began. */
  readonly target: string;
  readonly state: "running" | "done" | "failed";
  readonly startedAt: string;
  readonly finishedAt: string | null;
  /** Why it failed. */
  readonly why: string | null;
  /** Of content that is copied: bytes so far, and in all once that is counted. */
  readonly doneBytes: number | null;
  readonly totalBytes: number | null;
}

/** Something that happened. */
export interface WireEvent {
  /** Grows by one with each event of one run of the daemon. */
  readonly sequence: number;
  readonly at: string;
  /** `noun.verb`, such as `volume.created`. */
  readonly type: string;
  readonly level: "info" | "warning";
  /** Name of the volume or pool that it happened to. */
  readonly subject: string;
  /** One sentence for people. */
  readonly message: string;
}

/** The daemon in short. */
export interface WireStatus {
  readonly version: string;
  readonly startedAt: string;
  readonly volumes: number;
  readonly trashed: number;
  readonly runningOperations: number;
  readonly pools: readonly WirePoolState[];
}

/** A pool in the daemon's status. */
export interface WirePoolState {
  readonly name: string;
  readonly driver: string;
  readonly health: WireHealth;
}

/** What one check of the doctor found. */
export interface WireFinding {
  readonly level: "ok" | "warn" | "error";
  readonly check: string;
  readonly saw: string;
  /** Why it matters and what to type. */
  readonly advice?: string | undefined;
}

/** Everything that the doctor found, in reading order. */
export interface WireExamination {
  readonly findings: readonly WireFinding[];
}

/** One page of a listing. */
export interface WirePage<T> {
  readonly items: readonly T[];
  /** Give it as `page_token` for the next page; null: this is the last. */
  readonly nextPageToken: string | null;
}

/** A failure as RFC 9457 says it. `detail` is the message; facts about it stand beside as members of their own. */
export interface WireProblem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: FailureCode;
  readonly detail: string;
  /** Under which the daemon's log has the request. */
  readonly traceId: string;
}

/** Asks for a new volume. */
export interface CreateVolumeBody {
  readonly name: string;
  /** As `docker volume create -o` takes them: size, pool, profile, uid, gid, mode, protect, from, schedule, keep, label.KEY. */
  readonly options?: Readonly<Record<string, string>> | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly author?: string | undefined;
}

/** Changes a volume; what is absent stays. */
export interface ChangeVolumeBody {
  /** A null value takes the label away. */
  readonly labels?: Readonly<Record<string, string | null>> | undefined;
  readonly protect?: boolean | undefined;
  /** The new name. */
  readonly name?: string | undefined;
  /** The new limit; null: none. */
  readonly sizeBytes?: number | null | undefined;
  readonly schedule?: string | undefined;
  readonly keep?: string | undefined;
  readonly author?: string | undefined;
}

/** Takes a volume out of the trash. */
export interface RestoreBody {
  /** Another name than it had. */
  readonly name?: string | undefined;
}
