import { Failure } from "../../core/failure.ts";
import { parseLabels } from "../../core/volume/options.ts";
import type { Labels, Volume } from "../../core/volume/volume.ts";
import type { Found } from "../../services/history.ts";
import type {
  CreateSnapshotRequest,
  CreateSnapshotResponse,
  DeleteSnapshotRequest,
  GetSnapshotRequest,
  GetSnapshotResponse,
  ListSnapshotsRequest,
  ListSnapshotsResponse,
  Snapshot as WireSnapshot,
} from "../shared/generated/csi.ts";
import type { Timestamp } from "../shared/generated/google/protobuf/timestamp.ts";
import type { CsiDoor } from "./door.ts";
import {
  checkedMap,
  checkSecrets,
  needed,
  neededId,
  type Pairs,
  page,
  paged,
  refused,
} from "./fields.ts";
import { findSnapshot, lookUpSnapshot, readyVolume, snapshotIdOf } from "./found.ts";
import { inWords } from "./lanes.ts";
import { capacityOf, GROUP_LABEL, isNamed, marks, pointNameOf, snapshotCapacity } from "./marks.ts";
import { ensureReachable, topologyOf } from "./topology.ts";

/** Parameters that Kubernetes' sidecars add. */
const CLIENT_PREFIX = "csi.storage.k8s.io/";

/** The snapshot as clients see it. */
export function wireSnapshot({ settings }: CsiDoor, found: Found): WireSnapshot {
  const { line, snapshot } = found;
  const { createdAt, group, labels } = snapshot.value;
  return {
    sizeBytes: BigInt(snapshotCapacity(snapshot.value) ?? capacityOf(line.value)),
    snapshotId: snapshotIdOf(found),
    sourceVolumeId: line.value.id,
    creationTime: timestampOf(createdAt),
    readyToUse: true,
    groupSnapshotId: group !== null && labels[GROUP_LABEL] !== undefined ? group : "",
    accessibleTopology: settings.health ? [topologyOf(settings.node)] : [],
  };
}

/** A wall-clock time on the wire. */
export function timestampOf(ms: number): Timestamp {
  return { seconds: BigInt(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1_000_000 };
}

/** Takes a snapshot, or finds the one that the same request took. */
export async function createSnapshot(
  door: CsiDoor,
  request: CreateSnapshotRequest,
): Promise<CreateSnapshotResponse> {
  const { secrets, ...open } = request;
  const name = needed("name", request.name);
  const source = neededId("source_volume_id", request.sourceVolumeId);
  checkSecrets(secrets);
  const labels = parseSnapshotParameters(request.parameters);
  ensureReachable(request.accessibilityRequirements, door.settings.node);
  const found = await door.lanes.run(`snapshot-name/${name}`, inWords(open), async () => {
    const before = (await door.services.history.listAll()).find(
      ({ snapshot }) => isNamed(snapshot.value, name) && snapshot.value.group === null,
    );
    if (before === undefined) return take(door, await readyVolume(door, source), name, labels);
    if (before.line.value.id === source) return before;
    throw new Failure(
      "already_exists",
      `Cannot take a snapshot: there is one of that name, of volume "${before.line.value.name}"`,
    );
  });
  return { snapshot: wireSnapshot(door, found) };
}

async function take(
  { services, signal }: CsiDoor,
  volume: Volume,
  name: string,
  labels: Labels,
): Promise<Found> {
  const { snapshots, history } = services;
  const point = pointNameOf(name, "snapshot");
  const capacityBytes = capacityOf(volume);
  const request = {
    labels: { ...labels, ...marks({ name, capacityBytes }) },
    author: "csi",
  };
  const named = { ...request, ...(point !== undefined && { name: point }) };
  const taken = await snapshots.create(volume.name, named, signal).catch((thrown: unknown) => {
    // Somebody else gave the name to another point of this history: it is known by its label alone then.
    if (!(thrown instanceof Failure) || thrown.code !== "already_exists") throw thrown;
    return snapshots.create(volume.name, request, signal);
  });
  const line = (await history.findLine(volume.id)) ?? (await history.line(volume.name));
  return { line, snapshot: taken };
}

/** Into the trash. One that is not there is success. */
export async function deleteSnapshot(
  door: CsiDoor,
  request: DeleteSnapshotRequest,
): Promise<object> {
  const id = needed("snapshot_id", request.snapshotId);
  checkSecrets(request.secrets);
  await door.lanes.run(`snapshot/${id}`, "delete", async () => {
    const found = await lookUpSnapshot(door, id);
    if (found === undefined) return;
    const { group, labels } = found.snapshot.value;
    if (group !== null && labels[GROUP_LABEL] !== undefined) {
      throw refused("snapshot_id", `it is of group "${group}", and removed only with that`);
    }
    await removeSnapshot(door, found);
  });
  return {};
}

/** @throws {Failure} `failed_precondition` when it is protected. */
export async function removeSnapshot(door: CsiDoor, { line, snapshot }: Found): Promise<void> {
  const ref = { volume: line.value.name, at: snapshot.value.id };
  await door.services.snapshots.remove(ref, door.signal).catch((thrown: unknown) => {
    if (!(thrown instanceof Failure) || thrown.code !== "not_found") throw thrown;
  });
}

/** Those that a filter lets through, by page. */
export async function listSnapshots(
  door: CsiDoor,
  request: ListSnapshotsRequest,
): Promise<ListSnapshotsResponse> {
  const { snapshotId, sourceVolumeId } = request;
  checkSecrets(request.secrets);
  const asked = page(request.maxEntries, request.startingToken);
  const all =
    snapshotId === "" ? await listOf(door, sourceVolumeId) : await lookUpSnapshot(door, snapshotId);
  const some = (all === undefined ? [] : [all]).flat();
  const fitting = some.filter(
    ({ line }) => sourceVolumeId === "" || line.value.id === sourceVolumeId,
  );
  const { entries, nextToken } = paged(fitting, snapshotIdOf, asked);
  return { nextToken, entries: entries.map((found) => ({ snapshot: wireSnapshot(door, found) })) };
}

async function listOf({ services }: CsiDoor, source: string): Promise<readonly Found[]> {
  const all = await services.history.listAll();
  return source === "" ? all : all.filter(({ line }) => line.value.id === source);
}

/** One snapshot. */
export async function getSnapshot(
  door: CsiDoor,
  request: GetSnapshotRequest,
): Promise<GetSnapshotResponse> {
  const id = needed("snapshot_id", request.snapshotId);
  checkSecrets(request.secrets);
  return { snapshot: wireSnapshot(door, await findSnapshot(door, id)) };
}

/** `label.KEY`, and what Kubernetes' sidecars add. @throws {Failure} `invalid_argument` for any other. */
export function parseSnapshotParameters(parameters: Pairs): Labels {
  const labels: Record<string, string> = {};
  for (const [key, value] of Object.entries(checkedMap("parameters", parameters))) {
    if (key.startsWith(CLIENT_PREFIX)) labels[key] = value;
    else if (key.startsWith("label.")) labels[key.slice("label.".length)] = value;
    else
      throw refused(
        "parameters",
        `${JSON.stringify(key).slice(0, 80)} is unknown; there is label.KEY`,
      );
  }
  return parseLabels(labels);
}
