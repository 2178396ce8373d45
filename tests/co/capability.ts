import {
  type VolumeCapability,
  VolumeCapability_AccessMode_Mode,
} from "../../src/api/shared/generated/csi.ts";

/** What a workload asks of a volume. */
export interface Wish {
  readonly mode?: keyof typeof VolumeCapability_AccessMode_Mode;
  /** A raw device instead of a file tree. */
  readonly block?: boolean;
  readonly fsType?: string;
  readonly mountFlags?: readonly string[];
  /** The group that may write, as Kubernetes' fsGroup. */
  readonly group?: string;
}

/** The message that says it. */
export function capabilityOf({
  mode = "SINGLE_NODE_SINGLE_WRITER",
  block = false,
  fsType = "",
  mountFlags = [],
  group = "",
}: Wish): VolumeCapability {
  return {
    accessMode: { mode: VolumeCapability_AccessMode_Mode[mode] },
    accessType: block
      ? { $case: "block", value: {} }
      : {
          $case: "mount",
          value: { fsType, mountFlags: [...mountFlags], volumeMountGroup: group },
        },
  };
}
