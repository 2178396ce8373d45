import { Failure } from "../../core/failure.ts";
import type { PointName } from "../../core/history/snapshot.ts";
import type { Volume } from "../../core/volume/volume.ts";
import type { Found } from "../../services/history.ts";
import {
  type CreateVolumeGroupSnapshotRequest,
  type CreateVolumeGroupSnapshotResponse,
  type GroupControllerService,
  GroupControllerServiceCapability_RPC_Type as Rpc,
  type VolumeGroupSnapshot,
} from "../shared/generated/csi.ts";
import type { Works } from "../shared/grpc-service.ts";
import type { CsiDoor } from "./door.ts";
import { checkSecrets, needed, neededId, type Pairs, refused } from "./fields.ts";
import { readyVolume, snapshotIdOf } from "./found.ts";
import { inWords } from "./lanes.ts";
import { GROUP_LABEL, groupNameFor, marks } from "./marks.ts";
import { parseSnapshotParameters, removeSnapshot, timestampOf, wireSnapshot } from "./snapshots.ts";

/** Snapshots of several volumes, taken as one. */
export function groupWorks(door: CsiDoor): Works<typeof GroupControllerService> {
  const type = Rpc.CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT;
  return {
    groupControllerGetCapabilities: async () => ({
      capabilities: [{ type: { $case: "rpc", value: { type } } }],
    }),
    createVolumeGroupSnapshot: (request) => create(door, request),
    deleteVolumeGroupSnapshot: async ({ groupSnapshotId, snapshotIds, secrets }) => {
      const id = neededGroup(groupSnapshotId, secrets);
      await door.lanes.run(`group/${id}`, "delete", async () => {
        const members = await membersOf(door, id);
        if (members.length === 0) return;
        ensureMembers(members, snapshotIds);
        for (const member of members) await removeSnapshot(door, member);
      });
      return {};
    },
    getVolumeGroupSnapshot: async ({ groupSnapshotId, snapshotIds, secrets }) => {
      const id = neededGroup(groupSnapshotId, secrets);
      const members = await membersOf(door, id);
      if (members.length === 0) {
        throw new Failure("not_found", "Cannot find the group of snapshots: it does not exist");
      }
      ensureMembers(members, snapshotIds);
      return { groupSnapshot: wireGroup(door, id, members) };
    },
  };
}

async function create(
  door: CsiDoor,
  request: CreateVolumeGroupSnapshotRequest,
): Promise<CreateVolumeGroupSnapshotResponse> {
  const { secrets, ...open } = request;
  const name = needed("name", request.name);
  checkSecrets(secrets);
  const ids = request.sourceVolumeIds.map((id) => neededId("source_volume_ids", id));
  if (ids.length === 0) throw refused("source_volume_ids", "it is missing");
  if (new Set(ids).size < ids.length) throw refused("source_volume_ids", "one is there twice");
  const labels = parseSnapshotParameters(request.parameters);
  const group = groupNameFor(name);
  const members = await door.lanes.run(`group-name/${group}`, inWords(open), async () => {
    const before = await membersOf(door, group);
    if (before.length > 0) {
      const same = before.every(({ line }) => ids.includes(line.value.id));
      if (same && before.length === ids.length) return before;
      throw new Failure(
        "already_exists",
        `Cannot take group "${group}": it exists, of other volumes`,
      );
    }
    const volumes = await Promise.all(ids.map((id) => readyVolume(door, id)));
    await ensureConsistent(door, volumes);
    const marked = { ...labels, ...marks({ name }), [GROUP_LABEL]: group };
    const asked = { labels: marked, author: "csi", group };
    const lines = volumes.map((volume) => volume.name);
    await door.services.snapshots.createGroup(lines, asked, door.signal);
    return membersOf(door, group);
  });
  return { groupSnapshot: wireGroup(door, group, members) };
}

/**
 * One after the other is not one instant: with one volume that is written at most, nothing is out of order.
 *
 * @throws {Failure} `failed_precondition` when several are in use.
 */
async function ensureConsistent(door: CsiDoor, volumes: readonly Volume[]): Promise<void> {
  const { mounts } = door.services;
  const users = await Promise.all(volumes.map((volume) => mounts.users(volume, door.signal)));
  const used = volumes.filter((_, index) => users[index]?.length !== 0);
  if (used.length < 2) return;
  const names = used.map(({ name }) => `"${name}"`).join(", ");
  throw new Failure(
    "failed_precondition",
    `Cannot take a group of snapshots at one instant: volumes ${names} are in use; stop what writes all but one of them, or take a snapshot of each`,
  );
}

function neededGroup(text: string, secrets: Pairs): PointName {
  const id = needed("group_snapshot_id", text);
  checkSecrets(secrets);
  return groupNameFor(id);
}

async function membersOf({ services }: CsiDoor, group: PointName): Promise<readonly Found[]> {
  const all = await services.history.listAll();
  return all.filter(
    ({ snapshot: { value } }) => value.group === group && value.labels[GROUP_LABEL] === group,
  );
}

/** @throws {Failure} `invalid_argument` when a client means other snapshots than the group has. */
function ensureMembers(members: readonly Found[], ids: readonly string[]): void {
  const known = new Set(members.map(snapshotIdOf));
  if (ids.length === 0 || (ids.length === known.size && ids.every((id) => known.has(id)))) return;
  throw refused("snapshot_ids", "the group has others");
}

function wireGroup(door: CsiDoor, id: PointName, members: readonly Found[]): VolumeGroupSnapshot {
  const times = members.map(({ snapshot }) => snapshot.value.createdAt);
  return {
    groupSnapshotId: id,
    snapshots: members.map((member) => ({ ...wireSnapshot(door, member), groupSnapshotId: id })),
    creationTime: timestampOf(Math.min(...times)),
    readyToUse: true,
  };
}
