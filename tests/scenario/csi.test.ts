import { describe, expect, it } from "vitest";
import { parseVolumeName } from "../../src/core/name.ts";
import { emptyStoreDisk, SimStore } from "../../src/sim/store.ts";
import { csiOn, made, mode, mountsAt, OTHER_TARGET, STAGING, TARGET, used } from "./csi-world.ts";
import { World } from "./world.ts";

const GIB = 1024n ** 3n;
const { signal } = new AbortController();

describe("a claim", () => {
  it("is a volume that Docker sees under its name, and the same for the same request", async () => {
    const csi = await csiOn();
    const range = { requiredBytes: GIB, limitBytes: 0n };
    const id = await made(csi, "pvc-1", { capacityRange: range });
    expect(await made(csi, "pvc-1", { capacityRange: range })).toBe(id);
    const { value } = await csi.services.volumes.get(parseVolumeName("pvc-1"));
    expect(value).toMatchObject({ id, spec: { sizeBytes: Number(GIB) } });
    const more = { requiredBytes: 2n * GIB, limitBytes: 0n };
    const other = made(csi, "pvc-1", { capacityRange: more });
    await expect(other).rejects.toMatchObject({ code: "already_exists" });
  });

  it("has a name of ours when its own cannot be one, and never takes another's", async () => {
    const csi = await csiOn();
    const id = await made(csi, "claim with spaces/ä");
    expect(await made(csi, "claim with spaces/ä")).toBe(id);
    await csi.services.volumes.create(parseVolumeName("mine"), { labels: {} }, signal);
    await expect(made(csi, "mine")).rejects.toMatchObject({ code: "already_exists" });
  });

  it("goes to the trash, unless it is protected, attached, mounted, or has snapshots of clients", async () => {
    const csi = await csiOn();
    const { controller, node, services } = csi;
    const volumeId = await made(csi, "pvc-1");
    const refused = { code: "failed_precondition" };
    await services.volumes.update(parseVolumeName("pvc-1"), { protect: true }, signal);
    await expect(controller.deleteVolume({ volumeId })).rejects.toMatchObject(refused);
    await controller.controllerModifyVolume({ volumeId, mutableParameters: { protect: "false" } });
    await controller.controllerPublishVolume({ volumeId, nodeId: "n1", volumeCapability: mode(7) });
    await expect(controller.deleteVolume({ volumeId })).rejects.toMatchObject(refused);
    await controller.controllerUnpublishVolume({ volumeId });
    await used(csi, volumeId);
    await expect(controller.deleteVolume({ volumeId })).rejects.toMatchObject(refused);
    await node.nodeUnpublishVolume({ volumeId, targetPath: TARGET });
    await node.nodeUnstageVolume({ volumeId, stagingTargetPath: STAGING });
    const { snapshot } = await controller.createSnapshot({ name: "s", sourceVolumeId: volumeId });
    await expect(controller.deleteVolume({ volumeId })).rejects.toMatchObject(refused);
    await controller.deleteSnapshot({ snapshotId: snapshot?.snapshotId ?? "" });
    await controller.deleteVolume({ volumeId });
    await controller.deleteVolume({ volumeId });
    expect((await services.trash.list()).map(({ value }) => value.id)).toEqual([volumeId]);
  });

  it("is asked for a hundred times at once and made once; a hundred at once are a hundred", async () => {
    const csi = await csiOn();
    const ids = await Promise.all(Array.from({ length: 100 }, () => made(csi, "pvc-1")));
    expect(new Set(ids).size).toBe(1);
    const many = await Promise.all(Array.from({ length: 100 }, (_, n) => made(csi, `many-${n}`)));
    expect(new Set(many).size).toBe(100);
  });

  it("starts from a snapshot or a volume, says so, and is listed by pages", async () => {
    const csi = await csiOn();
    const { controller } = csi;
    const source = await made(csi, "source", {
      capacityRange: { requiredBytes: GIB, limitBytes: 0n },
    });
    const { snapshot } = await controller.createSnapshot({ name: "s", sourceVolumeId: source });
    const snapshotId = snapshot?.snapshotId ?? "";
    const volumeContentSource = {
      type: { $case: "snapshot" as const, value: { snapshotId } },
    };
    const request = { name: "clone", volumeCapabilities: [mode(7)], volumeContentSource };
    const { volume } = await controller.createVolume(request);
    expect(volume).toMatchObject({ capacityBytes: GIB, contentSource: volumeContentSource });
    expect((await controller.createVolume(request)).volume?.volumeId).toBe(volume?.volumeId);
    const first = await controller.listVolumes({ maxEntries: 1 });
    const second = await controller.listVolumes({ maxEntries: 1, startingToken: first.nextToken });
    const listed = [...first.entries, ...second.entries].map((entry) => entry.volume?.volumeId);
    expect(listed).toEqual([source, volume?.volumeId]);
    expect(second.nextToken).toBe("");
  });

  it("is not placed where this node is not", async () => {
    const csi = await csiOn();
    const elsewhere = { segments: { "lagan.io/node": "n2" } };
    const here = { segments: { "LAGAN.io/node": "n1" } };
    const asked = (requisite: (typeof elsewhere | typeof here)[]) =>
      made(csi, "pvc", { accessibilityRequirements: { requisite, preferred: [] } });
    await expect(asked([elsewhere])).rejects.toMatchObject({ code: "resource_exhausted" });
    await asked([elsewhere, here]);
  });
});

describe("an attachment", () => {
  it("has a token that opens nothing any more once it was taken back", async () => {
    const csi = await csiOn();
    const { controller, node } = csi;
    const volumeId = await made(csi, "pvc");
    const asked = { volumeId, nodeId: "n1", volumeCapability: mode(7) };
    const { publishContext } = await controller.controllerPublishVolume(asked);
    expect(await controller.controllerPublishVolume(asked)).toEqual({ publishContext });
    const otherwise = controller.controllerPublishVolume({ ...asked, readonly: true });
    await expect(otherwise).rejects.toMatchObject({ code: "already_exists" });
    const elsewhere = controller.controllerPublishVolume({ ...asked, nodeId: "n2" });
    await expect(elsewhere).rejects.toMatchObject({ code: "not_found" });
    await controller.controllerUnpublishVolume({ volumeId, nodeId: "n1" });
    const renewed = await controller.controllerPublishVolume(asked);
    expect(renewed.publishContext).not.toEqual(publishContext);
    const staged = { volumeId, stagingTargetPath: STAGING, volumeCapability: mode(7) };
    const late = node.nodeStageVolume({ ...staged, publishContext });
    await expect(late).rejects.toMatchObject({ code: "failed_precondition" });
    expect(await mountsAt(csi, STAGING)).toEqual([]);
  });

  it("is one of as many as the node takes", async () => {
    const csi = await csiOn(new World(), { maxVolumes: 1 });
    const asked = { nodeId: "n1", volumeCapability: mode(7) };
    const [one, two] = [await made(csi, "one"), await made(csi, "two")];
    await csi.controller.controllerPublishVolume({ ...asked, volumeId: one });
    const over = csi.controller.controllerPublishVolume({ ...asked, volumeId: two });
    await expect(over).rejects.toMatchObject({ code: "resource_exhausted" });
  });
});

describe("a second publication", () => {
  /** Mode, then what is said to the same target otherwise, another target, and another otherwise. */
  it.each([
    [1, "already_exists", "failed_precondition", "failed_precondition"],
    [2, "already_exists", "failed_precondition", "failed_precondition"],
    [6, "already_exists", "failed_precondition", "failed_precondition"],
    [3, "already_exists", "ok", "ok"],
    [4, "already_exists", "ok", "ok"],
    [5, "already_exists", "ok", "ok"],
    [7, "already_exists", "ok", "ok"],
  ])("by access mode %d is what the specification's table says", async (number, ...expected) => {
    const csi = await csiOn();
    const volumeId = await made(csi, "pvc");
    await used(csi, volumeId, number);
    await used(csi, volumeId, number);
    const publish = async (targetPath: string, flags: string[]): Promise<string> => {
      const volumeCapability = mode(number, flags);
      const asked = { volumeId, stagingTargetPath: STAGING, targetPath, volumeCapability };
      return csi.node.nodePublishVolume(asked).then(
        () => "ok",
        (thrown: { code: string }) => thrown.code,
      );
    };
    const outcomes = [await publish(TARGET, ["nosuid"]), await publish(OTHER_TARGET, [])];
    await csi.node.nodeUnpublishVolume({ volumeId, targetPath: OTHER_TARGET });
    expect([...outcomes, await publish(OTHER_TARGET, ["nosuid"])]).toEqual(expected);
  });
});

describe("what is mounted", () => {
  it("is told by the mount table when the record of it is lost", async () => {
    const csi = await csiOn();
    const volumeId = await made(csi, "pvc");
    await used(csi, volumeId);
    const { world } = csi;
    world.machine.crash();
    world.runtimeOf = () => new SimStore(world.machine.clock, emptyStoreDisk());
    const next = await csiOn(world);
    await used(next, volumeId);
    expect(await mountsAt(next, "/var/lib/kubelet")).toEqual([STAGING, TARGET]);
    await next.node.nodeUnpublishVolume({ volumeId, targetPath: TARGET });
    await next.node.nodeUnstageVolume({ volumeId, stagingTargetPath: STAGING });
    expect(await mountsAt(next, "/var/lib/kubelet")).toEqual([]);
    await next.controller.deleteVolume({ volumeId });
  });

  it("is published again after an unstaging of which the client heard nothing", async () => {
    const csi = await csiOn();
    const volumeId = await made(csi, "pvc");
    await used(csi, volumeId);
    await csi.node.nodeUnpublishVolume({ volumeId, targetPath: TARGET });
    await csi.node.nodeUnstageVolume({ volumeId, stagingTargetPath: STAGING });
    const asked = { volumeId, stagingTargetPath: STAGING, targetPath: TARGET };
    await csi.node.nodePublishVolume({ ...asked, volumeCapability: mode(7) });
    expect(await mountsAt(csi, "/var/lib/kubelet")).toEqual([STAGING, TARGET]);
  });

  it("twice at one path is taken away wholly, the path as well; again is success", async () => {
    const csi = await csiOn();
    const volumeId = await made(csi, "pvc");
    await used(csi, volumeId);
    const { kernel, files } = csi.world.machine.start();
    await kernel.mount({ type: "bind", source: STAGING, target: TARGET, options: [] });
    await csi.node.nodeUnpublishVolume({ volumeId, targetPath: TARGET });
    expect(await mountsAt(csi, TARGET)).toEqual([]);
    expect(await files.stat(TARGET)).toBeUndefined();
    await csi.node.nodeUnpublishVolume({ volumeId, targetPath: TARGET });
    await csi.node.nodeUnpublishVolume({ volumeId, targetPath: "/gone/with/its/directory" });
  });

  it("by somebody else is never taken away, nor covered", async () => {
    const csi = await csiOn();
    const volumeId = await made(csi, "pvc");
    const { kernel, files } = csi.world.machine.start();
    await files.makeDirectory(TARGET, { mode: 0o755 });
    await files.makeDirectory("/srv-of-others", { mode: 0o755 });
    await kernel.mount({ type: "bind", source: "/srv-of-others", target: TARGET, options: [] });
    const refused = { code: "failed_precondition" };
    const away = csi.node.nodeUnpublishVolume({ volumeId, targetPath: TARGET });
    await expect(away).rejects.toMatchObject(refused);
    await expect(used(csi, volumeId)).rejects.toMatchObject(refused);
    expect(await mountsAt(csi, TARGET)).toEqual([TARGET]);
  });

  it("counts as in use for everybody, and one writer's is nobody else's", async () => {
    const csi = await csiOn();
    const volumeId = await made(csi, "pvc");
    const name = parseVolumeName("pvc");
    await used(csi, volumeId, 6);
    const { volumes, targets } = csi.services;
    const { value } = await volumes.get(name);
    const remove = volumes.remove(name, { askEngines: false }, signal);
    await expect(remove).rejects.toThrow(TARGET.slice(0, 16));
    await expect(targets.ensureShared(value)).rejects.toMatchObject({
      code: "failed_precondition",
    });
    await csi.node.nodeUnpublishVolume({ volumeId, targetPath: TARGET });
    await csi.node.nodeUnstageVolume({ volumeId, stagingTargetPath: STAGING });
    await targets.ensureShared(value);
  });

  it("is not for one writer while an engine is starting a container with it", async () => {
    const csi = await csiOn();
    const volumeId = await made(csi, "pvc");
    const { volumes, mounts } = csi.services;
    const name = parseVolumeName("pvc");
    await volumes.use(name, (volume) => mounts.mount(volume, "engine", signal));
    await expect(used(csi, volumeId, 6)).rejects.toMatchObject({ code: "failed_precondition" });
    expect(await mountsAt(csi, TARGET)).toEqual([]);
    await csi.node.nodeUnstageVolume({ volumeId, stagingTargetPath: STAGING });
    await used(csi, volumeId, 7);
  });

  it("is not unstaged while it is published", async () => {
    const csi = await csiOn();
    const volumeId = await made(csi, "pvc");
    await used(csi, volumeId);
    const unstage = csi.node.nodeUnstageVolume({ volumeId, stagingTargetPath: STAGING });
    await expect(unstage).rejects.toMatchObject({ code: "failed_precondition" });
    expect(await mountsAt(csi, "/var/lib/kubelet")).toEqual([STAGING, TARGET]);
  });
});

describe("a group of snapshots", () => {
  it("is taken, got and removed as one, and refused where it would not be of one instant", async () => {
    const csi = await csiOn();
    const sourceVolumeIds = [await made(csi, "one"), await made(csi, "two")];
    const { groups, controller } = csi;
    const { groupSnapshot } = await groups.createVolumeGroupSnapshot({
      name: "g",
      sourceVolumeIds,
    });
    expect(groupSnapshot?.snapshots).toHaveLength(2);
    const again = await groups.createVolumeGroupSnapshot({ name: "g", sourceVolumeIds });
    expect(again.groupSnapshot).toEqual(groupSnapshot);
    const snapshotId = groupSnapshot?.snapshots[0]?.snapshotId ?? "";
    const single = controller.deleteSnapshot({ snapshotId });
    await expect(single).rejects.toMatchObject({ code: "invalid_argument" });
    const groupSnapshotId = groupSnapshot?.groupSnapshotId ?? "";
    await groups.deleteVolumeGroupSnapshot({ groupSnapshotId });
    const gone = groups.getVolumeGroupSnapshot({ groupSnapshotId });
    await expect(gone).rejects.toMatchObject({ code: "not_found" });
    const [one = "", two = ""] = sourceVolumeIds;
    await used(csi, one);
    const staged = { volumeId: two, stagingTargetPath: "/var/lib/kubelet/pods/b" };
    await csi.node.nodeStageVolume({ ...staged, volumeCapability: mode(7) });
    const busy = groups.createVolumeGroupSnapshot({ name: "g2", sourceVolumeIds });
    await expect(busy).rejects.toMatchObject({ code: "failed_precondition" });
  });
});
