import { createHash } from "node:crypto";
import { Failure } from "../../core/failure.ts";
import type { Snapshot } from "../../core/history/snapshot.ts";
import { type PointName, parsePointName } from "../../core/history/snapshot.ts";
import { parseVolumeName, type VolumeName } from "../../core/name.ts";
import type { Labels, Volume } from "../../core/volume/volume.ts";

/*
 * What a client said of a volume or snapshot is in its labels, where people see it. A label that is taken away ends only
 * what it is for: that a repeated creation finds what the first one made.
 */

/** The client's own name of it. */
export const NAME_LABEL = "csi/name";
/** The size that was asked for, in bytes, where the pool cannot limit. */
const CAPACITY_LABEL = "csi/capacity";
/** The client's own name of the group that a snapshot was taken in. */
export const GROUP_LABEL = "csi/group";
/** The id of what it was made from. */
const SOURCE_LABEL = "csi/source";

/** The labels of what a client asks for. */
export function marks(of: {
  readonly name: string;
  readonly capacityBytes?: number;
  readonly source?: string;
}): Labels {
  return {
    [NAME_LABEL]: labelled(of.name),
    ...(of.capacityBytes !== undefined && { [CAPACITY_LABEL]: String(of.capacityBytes) }),
    ...(of.source !== undefined && { [SOURCE_LABEL]: of.source }),
  };
}

/** The change of labels that notes another size. */
export function capacityMark(capacityBytes: number): Labels {
  return { [CAPACITY_LABEL]: String(capacityBytes) };
}

/** True when a client made it under this name. */
export function isNamed({ labels }: Volume | Snapshot, name: string): boolean {
  return labels[NAME_LABEL] === labelled(name);
}

/** A volume's size: its limit, else what was asked for; 0: none. */
export function capacityOf({ spec, labels }: Volume): number {
  return spec.sizeBytes ?? Number(labels[CAPACITY_LABEL] ?? 0);
}

/** The size that a snapshot's volume had when it was taken. */
export function snapshotCapacity({ labels }: Snapshot): number | undefined {
  const text = labels[CAPACITY_LABEL];
  return text === undefined ? undefined : Number(text);
}

/** The id of what a volume was made from. */
export function sourceOf({ labels }: Volume): string | undefined {
  return labels[SOURCE_LABEL];
}

/** The volume's name for a client's: the same where it can be one. */
export function volumeNameFor(name: string): VolumeName {
  try {
    return parseVolumeName(name);
  } catch (thrown) {
    if (!(thrown instanceof Failure)) throw thrown;
    return parseVolumeName(`csi-${digest(name)}`);
  }
}

/** The name of a group of snapshots for a client's, likewise. */
export function groupNameFor(name: string): PointName {
  return pointNameOf(name, "group") ?? parsePointName(`csi-${digest(name)}`, "group");
}

/** A client's name as a name of ours; undefined when it cannot be one. */
export function pointNameOf(name: string, noun: "snapshot" | "group"): PointName | undefined {
  try {
    return parsePointName(name, noun);
  } catch (thrown) {
    if (!(thrown instanceof Failure)) throw thrown;
    return undefined;
  }
}

/** Names may hold tabs and line ends, labels may not. */
function labelled(name: string): string {
  return JSON.stringify(name).slice(1, -1);
}

function digest(name: string): string {
  return createHash("sha256").update(name).digest("hex").slice(0, 32);
}
