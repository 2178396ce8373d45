import { Failure } from "../../core/failure.ts";
import { parseId, type SnapshotId, type VolumeId } from "../../core/id.ts";
import type { Volume } from "../../core/volume/volume.ts";
import type { Found } from "../../services/history.ts";
import type { CsiDoor } from "./door.ts";

/** A ready volume by its id. @throws {Failure} `not_found`. */
export async function readyVolume({ services }: CsiDoor, id: VolumeId | null): Promise<Volume> {
  const found = id === null ? undefined : await services.history.findLine(id);
  if (found?.value.status.state === "ready") return found.value;
  throw new Failure("not_found", `Cannot find volume ${id ?? "of that id"}: it does not exist`);
}

/** A snapshot's id, of the volume's and its own: so that it is found without looking at all of them. */
export function snapshotIdOf({ line, snapshot }: Found): string {
  return `${line.value.id}@${snapshot.value.id}`;
}

/** @throws {Failure} `not_found`. */
export async function findSnapshot(door: CsiDoor, id: string): Promise<Found> {
  const found = await lookUpSnapshot(door, id);
  if (found !== undefined) return found;
  throw new Failure("not_found", "Cannot find the snapshot: it does not exist");
}

/** The same; undefined when it does not exist. */
export async function lookUpSnapshot(
  { services }: CsiDoor,
  id: string,
): Promise<Found | undefined> {
  const parts = splitSnapshotId(id);
  const line = parts && (await services.history.findLine(parts.volume));
  if (line?.value.status.state !== "ready") return undefined;
  const all = await services.history.list(line.value.name);
  const snapshot = all.find(({ value }) => value.id === parts?.snapshot);
  return snapshot && { line, snapshot };
}

/** The two parts of a snapshot's id. @returns undefined when it is none of ours. */
function splitSnapshotId(id: string): { volume: VolumeId; snapshot: SnapshotId } | undefined {
  const [volume = "", snapshot = ""] = id.split("@");
  try {
    return { volume: parseId<VolumeId>(volume), snapshot: parseId<SnapshotId>(snapshot) };
  } catch {
    return undefined;
  }
}
