import type { OperationId, VolumeId } from "../id.ts";
import type { UnixMs } from "../ports/clock.ts";

/** Work of more than one step, written down before the first so that a restart carries it on. */
export type OperationVerb = "volume.create" | "volume.purge";

export type OperationState =
  | { readonly state: "running" }
  | { readonly state: "done"; readonly finishedAt: UnixMs }
  | { readonly state: "failed"; readonly finishedAt: UnixMs; readonly why: string };

export interface Operation {
  readonly id: OperationId;
  readonly verb: OperationVerb;
  readonly volume: VolumeId;
  /** The volume's name when the operation began, for people. */
  readonly target: string;
  readonly startedAt: UnixMs;
  readonly status: OperationState;
}
