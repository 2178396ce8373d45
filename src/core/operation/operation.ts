import type { LayerId, OperationId, SnapshotId, VolumeId } from "../id.ts";
import type { UnixMs } from "../ports/clock.ts";

/** Work of more than one step, written down before the first so that a restart carries it on. */
export type OperationVerb =
  | "volume.create"
  /** A creation with content that comes as a stream: cut off, it is taken back. */
  | "volume.import"
  | "volume.purge"
  | "volume.resize"
  | "volume.restore"
  | "snapshot.create"
  | "snapshot.purge"
  /** Bringing an image: cut off, it is taken back. */
  | "image.import";

export type OperationState =
  | { readonly state: "running" }
  | { readonly state: "done"; readonly finishedAt: UnixMs }
  | { readonly state: "failed"; readonly finishedAt: UnixMs; readonly why: string };

export interface Operation {
  readonly id: OperationId;
  readonly verb: OperationVerb;
  /** Null: it is about an image. */
  readonly volume: VolumeId | null;
  /** Name of the volume or image when the operation began, for people. */
  readonly target: string;
  readonly startedAt: UnixMs;
  /** What it is about beside the volume, as far as the verb needs it. */
  readonly about: {
    /** The snapshot that is made or purged; of a restore, the one that keeps what is replaced. */
    readonly snapshot?: SnapshotId;
    /** Of a restore: what is restored, the layer that becomes the head, and the one that was. */
    readonly restored?: SnapshotId;
    readonly head?: LayerId;
    readonly replaced?: LayerId;
    /** Of a restore: the volume has its new head; from here on it is only carried on. */
    readonly shown?: true;
    /** Of a resize: the new limit. */
    readonly sizeBytes?: number | null;
  };
  readonly status: OperationState;
}

/** One that is about a volume. */
export type VolumeOperation = Operation & { readonly volume: VolumeId };
