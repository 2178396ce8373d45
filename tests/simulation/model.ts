import type { Snapshot } from "../../src/core/history/snapshot.ts";
import type { Volume } from "../../src/core/volume/volume.ts";

/** What users ask for. */
export type Verb =
  | "create"
  | "remove"
  | "rename"
  | "update"
  | "restore"
  | "purge"
  | "empty"
  | "get"
  | "list"
  | "mount"
  | "unmount"
  | "snapshot"
  | "snapshot remove"
  | "snapshot restore"
  | "revert"
  | "clone"
  | "resize";

/** A request under way, or one that died with its daemon and may have had its effect. */
export interface Request {
  readonly verb: Verb;
  /** Name of the volume, or its id. */
  readonly name: string;
  /** The store's revision when it was sent. */
  readonly from: number;
  readonly sentAt: number;
}

/** A file that containers write. */
export interface VolumeFile {
  readonly newest: string | number | undefined;
  readonly synced: string | number | undefined;
  /** Written since the last sync. */
  readonly between: readonly (string | number | undefined)[];
  /** The power failed since it was last looked at: any of these may be there. */
  readonly powerFailed: boolean;
  readonly sizeBytes: number;
}

/** Names of the files that containers write. */
export const FILE_NAMES = ["f0", "f1", "f2", "big"] as const;

/** What a tree holds, by the names of files; absent and empty are the same. */
export type Values = ReadonlyMap<string, string | number>;

/** True when both hold the same. */
export function isSame(a: Values, b: Values): boolean {
  return FILE_NAMES.every((name) => a.get(name) === b.get(name));
}

/** For messages. */
export function showValues(values: Values): string {
  return `{${[...values].map(([name, value]) => `${name}: ${value}`).join(", ")}}`;
}

/** What files hold as far as it is certain. */
export function valuesOf(files: ReadonlyMap<string, VolumeFile>): Values {
  return new Map(
    [...files].flatMap(([name, { newest }]) => (newest === undefined ? [] : [[name, newest]])),
  );
}

/** Files that hold this, on the disk. */
export function filesOf(values: Values): ReadonlyMap<string, VolumeFile> {
  return new Map(
    [...values].map(([name, value]) => {
      const sizeBytes = typeof value === "number" ? value : value.length;
      return [name, { newest: value, synced: value, between: [], powerFailed: false, sizeBytes }];
    }),
  );
}

/** A snapshot as the store's history tells it, with what it was found to hold. */
export interface TrackedSnapshot {
  snapshot: Snapshot;
  state: "none" | "creating" | "ready" | "trashed" | "removing" | "gone";
  values: Values | undefined;
  /** Index in {@link Tracked.past} of what its volume held when it was begun. */
  readonly since: number;
}

/** A volume as the store's history tells it, with what we know beside. */
export interface Tracked {
  volume: Volume;
  state: "none" | "creating" | "ready" | "trashed" | "removing" | "gone";
  /** What it was, by revisions, both ends included. */
  readonly trail: { readonly from: number; until: number; readonly volume: Volume }[];
  readonly files: Map<string, VolumeFile>;
  /** Mounts that were acknowledged and not taken back: when they were, in monotonic time. */
  readonly hints: Map<string, number>;
  /** Mounts that were sent, answered or not: when last. */
  readonly tries: Map<string, number>;
  /** Running containers that have it mounted. */
  containers: number;
  acknowledged: boolean;
  /** Which start of the daemon began it. */
  readonly begunBy: number;
  /** Everything that it has held, one after the other. */
  past: Values[];
  /** The transaction that is looked at shows what a restore replaced. */
  reverting: boolean;
  /** Somebody has asked for another limit: an operation carries it on. */
  resizing: boolean;
}
