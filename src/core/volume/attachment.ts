import type { AttachmentToken, VolumeId } from "../id.ts";
import type { UnixMs } from "../ports/clock.ts";
import type { VolumeAccess } from "./access.ts";

/** That a volume is given to a node, which may mount it from then on. */
export interface Attachment {
  readonly volume: VolumeId;
  readonly node: string;
  /** Goes with what the node is told: one that was taken back opens nothing any more. */
  readonly token: AttachmentToken;
  readonly access: VolumeAccess;
  readonly createdAt: UnixMs;
}
