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
  | "unmount";

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
}
