import type { PointName } from "../history/snapshot.ts";
import type { LayerId, SnapshotId, VolumeId } from "../id.ts";
import type { Digest } from "../image/digest.ts";
import type { PoolName, ProfileName, VolumeName } from "../name.ts";
import type { UnixMs } from "../ports/clock.ts";
import type { Schedule } from "../schedule/schedule.ts";

/** What was asked for when a volume was made; two requests for one name are the same when these are equal. */
export interface VolumeSpec {
  /** Most bytes that the content may take; null: no limit. */
  readonly sizeBytes: number | null;
  readonly pool: PoolName;
  readonly profile: ProfileName | null;
  /** Owner and permission bits of the volume's root; null: 0, 0 and 0755. */
  readonly uid: number | null;
  readonly gid: number | null;
  readonly mode: number | null;
  /** The snapshot that its content started from; null: it started empty. */
  readonly from: SnapshotId | null;
  /** The image that its content started from, and where in it; absent or null: none. */
  readonly image?: ImageOrigin | null;
  /** It is a block device, not a file tree. */
  readonly block?: true;
}

/** A directory of an image. */
export interface ImageOrigin {
  /** As it was asked for. */
  readonly reference: string;
  /** Below the image's root, without a slash at either end; empty: the root. */
  readonly path: string;
  /** Null only in a request: which image it is, is found out when the volume is made. */
  readonly id: Digest | null;
}

/** Who protected something from removal, and when. */
export interface Protection {
  readonly by: string;
  readonly at: UnixMs;
}

/** What makes a volume a branch of another. */
export interface Branch {
  readonly of: VolumeId;
  readonly name: PointName;
}

/** Labels of people and tools. Key 1 to 128, value 0 to 4,096 characters, at most 64 of them. */
export type Labels = Readonly<Record<string, string>>;

/**
 * Where a volume stands. Only `ready` ones are shown by name.
 * `creating` → `ready` ⇄ `trashed` → `removing` → gone.
 */
export type VolumeState =
  | { readonly state: "creating" }
  | { readonly state: "ready" }
  | { readonly state: "trashed"; readonly trashedAt: UnixMs; readonly expiresAt: UnixMs | null }
  | { readonly state: "removing" };

/** A volume's record. */
export interface Volume {
  readonly id: VolumeId;
  readonly name: VolumeName;
  readonly spec: VolumeSpec;
  readonly labels: Labels;
  /** Refuses removal while set. */
  readonly protection: Protection | null;
  /** Set: this is a branch, and its name is that of its volume, `@`, and its own. */
  readonly branch: Branch | null;
  /** The snapshot that the head stands on: the last one taken, or restored, or what it started from. */
  readonly tip: SnapshotId | null;
  /** The active layer that is the volume's content. */
  readonly head: LayerId;
  readonly createdAt: UnixMs;
  /** When snapshots are taken by themselves; null: never. Absent in records of before schedules. */
  readonly schedule?: Schedule | null;
  readonly status: VolumeState;
}
