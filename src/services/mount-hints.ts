import type { VolumeId } from "../core/id.ts";

/** What an engine told us of one mount. */
export interface MountHint {
  readonly count: number;
  /** Monotonic time of the last Mount: the wall clock can be set, which would make a hint look old. */
  readonly since: number;
}

/** Where hints are in the runtime store. */
export const HINTS = "mounts/";

/** Where those of one volume are. */
export function hintPrefix(id: VolumeId): string {
  return `${HINTS}${id}/`;
}

/** Reads a hint that was written here. */
export function parseHint(value: string): MountHint {
  return JSON.parse(value) as MountHint;
}

/** The volume of a hint's key. */
export function volumeOfHint(key: string): VolumeId {
  return key.split("/")[1] as VolumeId;
}

/** The hint of a client that mounts by itself, at a path of its own. */
export function clientHint(path: string): string {
  return `csi:${path}`;
}

/** True of such a hint's name. */
export function isClientId(mountId: string): boolean {
  return mountId.startsWith("csi:");
}

/** True of the key of such a hint. */
export function isClientHint(key: string): boolean {
  return key.split("/")[2] === "csi:";
}
