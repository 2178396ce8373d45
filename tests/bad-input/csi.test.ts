import { beforeEach, describe, expect, it } from "vitest";
import {
  ControllerService,
  CreateVolumeRequest,
  NodeService,
} from "../../src/api/shared/generated/csi.ts";
import { type Csi, csiOn, made, mode, mountsAt, STAGING, TARGET } from "../scenario/csi-world.ts";

/*
 * Requests that no client should send, at the CSI door: the specification's code, a message, and nothing changed.
 */
let csi: Csi;
let volumeId: string;
const LONG = "x".repeat(129);
const WIDE = Object.fromEntries(Array.from({ length: 64 }, (_, n) => [`k${n}`, "v".repeat(64)]));
const unknown = { code: "invalid_argument" };

beforeEach(async () => {
  csi = await csiOn();
  volumeId = await made(csi, "pvc");
});

/** What is in every request of a service but its empty fields: a request that would succeed. */
function good(): Record<string, Record<string, object>> {
  const staged = { volumeId, stagingTargetPath: STAGING, volumeCapability: mode(7) };
  return {
    controller: {
      createVolume: { name: "new", volumeCapabilities: [mode(7)] },
      deleteVolume: { volumeId },
      controllerPublishVolume: { volumeId, nodeId: "n1", volumeCapability: mode(7) },
      controllerUnpublishVolume: { volumeId },
      validateVolumeCapabilities: { volumeId, volumeCapabilities: [mode(7)] },
      controllerGetVolume: { volumeId },
      createSnapshot: { name: "s", sourceVolumeId: volumeId },
      deleteSnapshot: { snapshotId: "any" },
      getSnapshot: { snapshotId: "any" },
      controllerExpandVolume: {
        volumeId,
        capacityRange: { requiredBytes: 1n << 30n, limitBytes: 0n },
      },
      controllerModifyVolume: { volumeId },
    },
    node: {
      nodeStageVolume: staged,
      nodeUnstageVolume: { volumeId, stagingTargetPath: STAGING },
      nodePublishVolume: { ...staged, targetPath: TARGET },
      nodeUnpublishVolume: { volumeId, targetPath: TARGET },
      nodeGetVolumeStats: { volumeId, volumePath: TARGET },
      nodeExpandVolume: { volumeId, volumePath: TARGET },
    },
    groups: {
      createVolumeGroupSnapshot: { name: "g", sourceVolumeIds: [volumeId] },
      deleteVolumeGroupSnapshot: { groupSnapshotId: "any" },
      getVolumeGroupSnapshot: { groupSnapshotId: "any" },
    },
  };
}

function send(service: string, method: string, request: object): Promise<unknown> {
  const works = csi[service as "controller"] as Record<
    string,
    (request: object) => Promise<unknown>
  >;
  return Promise.resolve(works[method]?.(request));
}

/** Every field of every request, one at a time. */
async function eachField(
  spoil: (value: unknown) => unknown,
  check: (sent: Promise<unknown>, where: string, field: string) => Promise<void>,
): Promise<number> {
  let count = 0;
  for (const [service, methods] of Object.entries(good())) {
    for (const [method, request] of Object.entries(methods)) {
      for (const [field, value] of Object.entries(request)) {
        const spoiled = spoil(value);
        if (spoiled === value) continue;
        const sent = send(service, method, { ...request, [field]: spoiled });
        await check(sent, `${method}.${field}`, field);
        count += 1;
      }
    }
  }
  return count;
}

async function nothingChanged(): Promise<void> {
  const { entries } = await csi.controller.listVolumes({});
  expect(entries.map(({ volume }) => volume?.volumeId)).toEqual([volumeId]);
  expect((await csi.controller.listSnapshots({})).entries).toEqual([]);
  expect(await csi.services.attachments.list()).toEqual([]);
  expect(await mountsAt(csi, "/var/lib/kubelet")).toEqual([]);
}

describe("a request of the Container Storage Interface", () => {
  it("without a field that it needs is refused, whichever field it is", async () => {
    const empty = (value: unknown) =>
      typeof value === "string" ? "" : Array.isArray(value) ? [] : undefined;
    const count = await eachField(empty, async (sent, where, field) => {
      const staging = where === "nodePublishVolume.stagingTargetPath";
      const code = staging ? "failed_precondition" : "invalid_argument";
      await expect(sent, where).rejects.toMatchObject({
        code,
        message: expect.stringMatching(staging ? /staged/ : /missing/),
      });
      expect(field).not.toBe("");
    });
    expect(count).toBeGreaterThan(30);
    await nothingChanged();
  });

  it("with a text that is too long or has control characters is refused", async () => {
    for (const text of [LONG, "a\u0000b", "a\u0007"]) {
      const spoil = (value: unknown) =>
        typeof value === "string" && !value.startsWith("/") ? text : value;
      await eachField(spoil, (sent, where) => expect(sent, where).rejects.toMatchObject(unknown));
    }
    await nothingChanged();
  });

  it("with a path that is relative, has detours, or is the root, is refused", async () => {
    for (const path of [
      "a/b",
      "/a/../b",
      "/a/./b",
      "/",
      "//",
      `/${"a".repeat(901)}`,
      "/a\nb",
      "/a\u0000",
    ]) {
      const spoil = (value: unknown) =>
        typeof value === "string" && value.startsWith("/") ? path : value;
      await eachField(spoil, (sent, where) =>
        expect(sent, `${where} ${path}`)
          .rejects.toMatchObject({
            code: where.endsWith("volumePath") ? "not_found" : "invalid_argument",
          })
          .catch(async (thrown: unknown) => {
            // A path to look at may also be told to be none.
            if (!where.endsWith("volumePath")) throw thrown;
            await expect(sent).rejects.toMatchObject(unknown);
          }),
      );
    }
    await nothingChanged();
  });

  it.each([0, 8, -1, 1_000_000])("with access mode %d is refused", async (number) => {
    const spoil = (value: unknown) =>
      Array.isArray(value) && typeof value[0] === "object"
        ? [mode(number)]
        : value instanceof Object && "accessMode" in value
          ? mode(number)
          : value;
    const count = await eachField(spoil, (sent, where) =>
      expect(sent, where).rejects.toMatchObject(unknown),
    );
    expect(count).toBeGreaterThan(3);
    await nothingChanged();
  });

  it("that asks for what no volume here can be is refused, and no secret is shown", async () => {
    const { controller } = csi;
    const asked = { name: "new", volumeCapabilities: [mode(7)] };
    const secret = "hunter2";
    const wrong: object[] = [
      { parameters: { nonsense: "1" } },
      { parameters: { size: "1G" } },
      { parameters: { profile: "none" } },
      { parameters: { pool: "none" } },
      { parameters: WIDE },
      { mutableParameters: { uid: "1" } },
      { secrets: { "a b": secret } },
      { secrets: { ...WIDE, password: secret } },
      { volumeCapabilities: [mode(7, [`password=${secret}`])] },
      { volumeCapabilities: [mode(7, ["x".repeat(5_000)])] },
      { volumeCapabilities: [{ ...mode(7), accessType: undefined }] },
      { volumeCapabilities: [mode(7), { ...mode(7), accessType: { $case: "block", value: {} } }] },
      { capacityRange: { requiredBytes: -1n, limitBytes: 0n } },
      { capacityRange: { requiredBytes: 2n, limitBytes: 1n } },
      { volumeContentSource: { type: undefined } },
    ];
    for (const one of wrong) {
      const sent = controller.createVolume({ ...asked, ...one });
      const failure = await sent.catch((thrown: unknown) => thrown as Error & { code: string });
      expect(
        failure,
        JSON.stringify(one, (_, v) => (typeof v === "bigint" ? String(v) : v)),
      ).toMatchObject(unknown);
      expect("message" in failure && failure.message).not.toContain(secret);
    }
    const huge = { capacityRange: { requiredBytes: 1n << 62n, limitBytes: 0n } };
    await expect(controller.createVolume({ ...asked, ...huge })).rejects.toMatchObject({
      code: "out_of_range",
    });
    const source = { type: { $case: "volume" as const, value: { volumeId: "nobody" } } };
    const gone = controller.createVolume({ ...asked, volumeContentSource: source });
    await expect(gone).rejects.toMatchObject({ code: "not_found" });
    await nothingChanged();
  });

  it("with a target that is a link or a file, or in a directory that is not there, is refused", async () => {
    const { files } = csi.world.machine.start();
    const absent = { volumeId, stagingTargetPath: "/var/lib/kubelet/absent" };
    const nowhere = csi.node.nodeStageVolume({ ...absent, volumeCapability: mode(7) });
    await expect(nowhere).rejects.toMatchObject({ code: "failed_precondition" });
    await files.writeText("/var/lib/kubelet/pods/a/file", "kept");
    csi.world.machine.init.link("/var/lib/kubelet/pods/b", "/var/lib/kubelet/pods/a/link");
    const staged = { volumeId, stagingTargetPath: STAGING, volumeCapability: mode(7) };
    await csi.node.nodeStageVolume(staged);
    const targetPath = "/var/lib/kubelet/pods/a/file";
    const linked = { ...staged, targetPath: "/var/lib/kubelet/pods/a/link" };
    await expect(csi.node.nodePublishVolume(linked)).rejects.toMatchObject({
      code: "failed_precondition",
    });
    const sent = csi.node.nodePublishVolume({ ...staged, targetPath });
    await expect(sent).rejects.toMatchObject({ code: "failed_precondition" });
    await csi.node.nodeUnpublishVolume({ volumeId, targetPath });
    expect(await files.readText(targetPath)).toBe("kept");
    await csi.node.nodeUnstageVolume(staged);
    await nothingChanged();
  });

  it("keeps whole 64-bit numbers, and numbers of an enum that nobody knows yet, off the wire", () => {
    const bytes = CreateVolumeRequest.encode({
      ...CreateVolumeRequest.decode(new Uint8Array()),
      capacityRange: { requiredBytes: (1n << 53n) + 1n, limitBytes: 0n },
      volumeCapabilities: [mode(99)],
    }).finish();
    const decoded = CreateVolumeRequest.decode(bytes);
    expect(decoded.capacityRange?.requiredBytes).toBe((1n << 53n) + 1n);
    expect(decoded.volumeCapabilities[0]?.accessMode?.mode).toBe(99);
  });

  it("is tried by these tests, whichever method of the services it is", () => {
    const tried = Object.values(good()).flatMap((methods) => Object.keys(methods));
    const all = [...Object.keys(ControllerService), ...Object.keys(NodeService)];
    const harmless = all.filter((name) => !tried.includes(name));
    expect(harmless).toEqual([
      ...["listVolumes", "controllerListVolumeHealth", "controllerGetVolumeHealth", "getCapacity"],
      ...["controllerGetCapabilities", "listSnapshots"],
      ...["nodeGetVolumeHealth", "nodeGetStorageHealth", "nodeGetCapabilities", "nodeGetInfo"],
    ]);
  });
});
