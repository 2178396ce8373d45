import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createVolumeRequest } from "../co/claims.ts";
import { eventually } from "./command.ts";
import { CsiHost } from "./csi-host.ts";
import { findLoops } from "./leftovers.ts";
import { callPlugin } from "./unix-http.ts";

/* Raw block volumes: what is on the device, through everything that a claim of files goes through as well. */

const MIB = 1024n ** 2n;
const SIZE = 24n * MIB;
const LOOP =
  "pools:\n  default:\n    driver: loop\n    size: 64M\n  files:\n    driver: directory\n";
const REFUSED = { code: "invalid_argument" };

describe.each([
  // Writers would have to wait for a whole copy: no snapshot in use.
  ["ext4", "idle"],
  ["xfs", "in use"],
] as const)("a block claim whose pool lies on %s", (hostType, snapshots) => {
  let host: CsiHost;
  beforeAll(async () => {
    host = await CsiHost.start({ config: LOOP }, async (machine) => {
      if (hostType === "xfs") await machine.mountDisk("state", "xfs");
      disks.push(...findLoops(machine.namespace.name));
    });
  });
  afterAll(async () => {
    // What a test that failed left attached would hold the disk under it.
    for (const device of loops()) await host.machine.run(["losetup", "--detach", device]);
    await host[Symbol.asyncDispose]();
  });

  /** Devices of the disk that the pool lies on. */
  const disks: string[] = [];
  const loops = () =>
    findLoops(host.machine.namespace.name).filter((device) => !disks.includes(device));
  /** Whoever looks at a new device, such as udev, keeps it for a moment. */
  const noneLeft = () => eventually("no device is left", () => loops().length === 0);
  const create = (name: string, more: object = {}) =>
    host.claims.create({ name, sizeBytes: SIZE, block: true, ...more });
  const write = (device: string, text: string, atMib = 0) =>
    host.sh(
      `printf ${text} | dd of=${device} bs=1M seek=${atMib} conv=notrunc,fsync iflag=fullblock status=none`,
    );
  const read = (device: string, atMib = 0) =>
    host.sh(`dd if=${device} bs=1M skip=${atMib} count=1 status=none | tr -d '\\0' | head -c 64`);
  const sizeOf = async (device: string) => BigInt(await host.sh(`blockdev --getsize64 ${device}`));
  const remove = async (volumeId: string, ...workloads: readonly string[]) => {
    for (const workload of workloads) await host.workloads.end(volumeId, workload);
    await host.claims.remove(volumeId);
  };

  it("is a device of the size that was asked for, whose content the next workload finds", async () => {
    const claim = await create("raw-kept");
    expect(claim.sizeBytes).toBe(SIZE);
    const first = await host.workloads.start(claim, "first");
    expect(await host.sh(`stat -c %F ${first}`)).toBe("block special file");
    expect(await sizeOf(first)).toBe(SIZE);
    await write(first, "kept");
    await write(first, "end", 23);
    await host.workloads.end(claim.volumeId, "first");
    expect(await host.mounted()).toEqual([]);
    await noneLeft();
    await expect(host.sh(`test -e ${first}`)).rejects.toThrow();
    expect(await host.sh(`ls -A ${host.workloads.stagingPath(claim.volumeId)}`)).toBe("");
    const second = await host.workloads.start(claim, "second");
    expect(await read(second)).toBe("kept");
    expect(await read(second, 23)).toBe("end");
    await remove(claim.volumeId, "second");
    await noneLeft();
  });

  it("has the pool's usual size without a wish, takes no room for it, and whole sectors for an odd one", async () => {
    const usual = await host.claims.create({ name: "raw-usual", block: true });
    expect(usual.sizeBytes).toBe(64n * MIB);
    const path = await host.workloads.start(usual, "web");
    expect(await sizeOf(path)).toBe(64n * MIB);
    const used = await host.plugin.node.nodeGetVolumeStats({
      ...{ volumeId: usual.volumeId, volumePath: path },
    });
    expect(used.usage).toMatchObject([{ total: 64n * MIB }]);
    expect(used.usage[0]?.used).toBeLessThan(MIB);
    await remove(usual.volumeId, "web");
    const odd = await create("raw-odd", { sizeBytes: SIZE + 1n });
    expect(odd.sizeBytes).toBe(SIZE + 512n);
    await remove(odd.volumeId);
    const none = { sizeBytes: SIZE + 1n, limitBytes: SIZE + 2n };
    await expect(create("raw-none", none)).rejects.toMatchObject({ code: "out_of_range" });
  });

  it("is one for all workloads of the node, and takes no writes from those that only read", async () => {
    const claim = await create("raw-shared", { mode: "MULTI_NODE_MULTI_WRITER" });
    const [one, two] = [
      await host.workloads.start(claim, "one"),
      await host.workloads.start(claim, "two"),
    ];
    await host.sh(`printf seen | dd of=${one} conv=notrunc status=none`);
    expect(await read(two)).toBe("seen");
    await host.sh(`sync ${one}`);
    const reader = await host.workloads.start(claim, "reader", { readOnly: true });
    expect(await read(reader)).toBe("seen");
    await expect(write(reader, "no")).rejects.toThrow(/Operation not permitted|Read-only/);
    await host.workloads.end(claim.volumeId, "one");
    await write(two, "more");
    expect(await read(two)).toBe("more");
    await remove(claim.volumeId, "reader", "two");
    await noneLeft();
  });

  it("grows while it is used, and never gets smaller", async () => {
    const claim = await create("raw-grown");
    const path = await host.workloads.start(claim, "web");
    await write(path, "kept");
    expect(await host.claims.expand(claim, 2n * SIZE)).toEqual({
      ...{ sizeBytes: 2n * SIZE, onNode: false },
    });
    expect(await sizeOf(path)).toBe(2n * SIZE);
    await write(path, "far", 40);
    expect(await host.workloads.expand(claim, "web", 3n * SIZE)).toBe(3n * SIZE);
    expect(await sizeOf(path)).toBe(3n * SIZE);
    expect(await host.claims.expand(claim, SIZE)).toMatchObject({ sizeBytes: 3n * SIZE });
    await host.workloads.end(claim.volumeId, "web");
    await expect(host.machine.mustLagan("volume", "resize", claim.name, "24M")).rejects.toThrow(
      /never made smaller/,
    );
    const again = await host.workloads.start(claim, "web");
    expect([await read(again), await read(again, 40)]).toEqual(["kept", "far"]);
    expect(await sizeOf(again)).toBe(3n * SIZE);
    await remove(claim.volumeId, "web");
  });

  it("gives its bytes to snapshots and clones, and can be restored", async () => {
    const { claims, workloads } = host;
    const source = await create("raw-source");
    const path = await workloads.start(source, "web");
    await host.sh(
      `dd if=/dev/urandom of=${path} bs=1M count=20 conv=notrunc,fsync iflag=fullblock status=none`,
    );
    const sum = (device: string) => host.sh(`head -c ${SIZE} ${device} | sha256sum`);
    const before = await sum(path);
    if (snapshots === "idle") {
      const { volumeId } = source;
      const taken = host.plugin.controller.createSnapshot({
        ...{ sourceVolumeId: volumeId, name: "live" },
      });
      await expect(taken).rejects.toMatchObject({ code: "failed_precondition" });
      await workloads.end(volumeId, "web");
    }
    const { snapshotId } = await claims.snapshot(source.volumeId, "raw-snapshot");
    await workloads.start(source, "web");
    await write(path, "changed");
    await workloads.end(source.volumeId, "web");
    const from = { snapshotId };
    const restored = await create("raw-restored", { from, sizeBytes: 2n * SIZE });
    const at = await workloads.start(restored, "restored");
    expect(await sizeOf(at)).toBe(2n * SIZE);
    expect(await sum(at)).toBe(before);
    // As large as its source, however little is asked for.
    const from2 = { from: { volumeId: source.volumeId }, sizeBytes: MIB };
    const copy = await create("raw-copy", from2);
    expect(copy.sizeBytes).toBe(SIZE);
    const less = { ...from2, limitBytes: 2n * MIB };
    await expect(create("raw-less", less)).rejects.toMatchObject({ code: "out_of_range" });
    const copied = await workloads.start(copy, "copy");
    expect(await read(copied)).toContain("changed");
    expect(await sum(copied)).not.toBe(before);
    const [name] = (await host.machine.mustLagan("snapshot", "ls", "--quiet")).match(/\S+/g) ?? [];
    expect(name).toContain("raw-source@");
    await host.machine.mustLagan("restore", "raw-source@raw-snapshot");
    expect(await sum(await workloads.start(source, "web"))).toBe(before);
    await remove(restored.volumeId, "restored");
    await remove(copy.volumeId, "copy");
    await workloads.end(source.volumeId, "web");
    await claims.removeSnapshot(snapshotId);
    await claims.remove(source.volumeId);
    await noneLeft();
  });

  it("stays with its workload through kill -9 and a stop of the daemon", async () => {
    const claim = await create("raw-running");
    const path = await host.workloads.start(claim, "web");
    const [device, mounted] = [loops(), await host.mounted()];
    expect(device).toHaveLength(1);
    await write(path, "one");
    await host.machine.lagand.crash();
    await host.meet();
    await write(path, "two", 1);
    await host.machine.lagand.stop();
    await write(path, "three", 2);
    await host.machine.lagand.start();
    await host.meet();
    expect([loops(), await host.mounted()]).toEqual([device, mounted]);
    // What an orchestrator that lost its memory does: all of it once more.
    expect(await host.workloads.start(claim, "web")).toBe(path);
    expect([loops(), await host.mounted()]).toEqual([device, mounted]);
    expect(await Promise.all([0, 1, 2].map((at) => read(path, at)))).toEqual([
      ...["one", "two", "three"],
    ]);
    await remove(claim.volumeId, "web");
    await noneLeft();
    expect(await host.mounted()).toEqual([]);
  });

  it("is found by the mount table and the kernel's devices when the records are lost", async () => {
    const claim = await create("raw-lost");
    const { volumeId } = claim;
    const path = await host.workloads.start(claim, "web");
    await write(path, "kept");
    await host.machine.lagand.stop();
    await host.sh(`rm -f ${host.machine.path("run")}/*.db*`);
    await host.machine.lagand.start();
    await host.meet();
    expect(await host.workloads.start(claim, "web")).toBe(path);
    expect(await read(path)).toBe("kept");
    // Taken from under it: the next publication makes it whole.
    await host.sh(`losetup --detach ${loops().join(" ")}`);
    await host.workloads.start(claim, "web");
    expect(await read(path)).toBe("kept");
    const stats = host.plugin.node.nodeGetVolumeStats({ volumeId, volumePath: path });
    expect((await stats).usage).toMatchObject([{ total: SIZE }]);
    await host.sh(`losetup --detach ${loops().join(" ")}`);
    await remove(volumeId, "web");
    await noneLeft();
    expect(await host.mounted()).toEqual([]);
  });

  it("is attached after a start of the daemon where it is published, and nowhere else, whatever the records say", async () => {
    // First in the order in which they are looked at.
    const kept = await create("raw-a-published");
    const path = await host.workloads.start(kept, "web");
    await write(path, "kept");
    const device = loops();
    const claim = await create("raw-leaked");
    const layers = `${host.machine.path("state")}/pools/default/layers`;
    const image = await host.sh(`ls -t ${layers}/*/disk.img | head -1`);
    await host.machine.lagand.stop();
    await host.sh(`rm -f ${host.machine.path("run")}/*.db*`);
    // As a crash leaves it before its node is mounted.
    await host.sh(`losetup --find ${image} && losetup --find --read-only ${image}`);
    expect(loops()).toHaveLength(3);
    await host.machine.lagand.start();
    await host.meet();
    await eventually("the devices are let go", () => loops().length < 2);
    expect(loops()).toEqual(device);
    expect(await read(path)).toBe("kept");
    await remove(claim.volumeId);
    await remove(kept.volumeId, "web");
    await noneLeft();
  });

  it("is let go of by who still has it open, and kept when it is published again meanwhile", async () => {
    const claim = await create("raw-open");
    const path = await host.workloads.start(claim, "web");
    const holds = host.machine.path("holds");
    const holder = host.machine.run([
      ...["sh", "-c"],
      `cp -a ${path} ${holds}.node; exec 3< ${holds}.node; touch ${holds}; while [ -e ${holds} ]; do sleep 0.05; done`,
    ]);
    await eventually("it is open", () =>
      host.sh(`test -e ${holds} && echo yes || true`).then(Boolean),
    );
    await host.workloads.end(claim.volumeId, "web");
    expect(loops()).toHaveLength(1);
    const again = await host.workloads.start(claim, "web");
    await write(again, "kept");
    await host.sh(`rm ${holds}`);
    await holder;
    expect(loops()).toHaveLength(1);
    expect(await read(again)).toBe("kept");
    await remove(claim.volumeId, "web");
    await noneLeft();
  });
});

describe("wrong use of kinds of volumes", () => {
  let host: CsiHost;
  beforeAll(async () => {
    host = await CsiHost.start({ config: LOOP });
  });
  afterAll(async () => {
    await host[Symbol.asyncDispose]();
  });

  it.each([
    ["a block claim is asked for as files", true],
    ["a claim of files is asked for as a block device", false],
  ])("is refused when %s, and changes nothing", async (title, block) => {
    const { controller, node } = host.plugin;
    const name = `wrong-${block}`;
    const right = await host.claims.create({ name, block, sizeBytes: SIZE });
    const path = await host.workloads.start(right, "right");
    const { volumeId } = right;
    const wrong = { name, block: !block, sizeBytes: SIZE };
    await expect(host.claims.create(wrong), title).rejects.toMatchObject({
      code: "already_exists",
    });
    const { volumeCapabilities = [] } = createVolumeRequest(wrong);
    const [volumeCapability] = volumeCapabilities;
    const paths = {
      stagingTargetPath: host.machine.path("elsewhere"),
      targetPath: host.machine.path("target"),
    };
    await host.sh(`mkdir -p ${paths.stagingTargetPath}`);
    const { nodeId } = host.facts.nodeInfo;
    const mounted = await host.mounted();
    const validated = await controller.validateVolumeCapabilities({ volumeId, volumeCapabilities });
    expect(validated.confirmed).toBeUndefined();
    expect(validated.message).not.toBe("");
    const capacityRange = { requiredBytes: 2n * SIZE, limitBytes: 0n };
    for (const call of [
      () => controller.controllerPublishVolume({ volumeId, nodeId, volumeCapability }),
      () => node.nodeStageVolume({ volumeId, volumeCapability, ...paths }),
      () => node.nodePublishVolume({ volumeId, volumeCapability, ...paths }),
      () => controller.controllerExpandVolume({ volumeId, volumeCapability, capacityRange }),
      () => node.nodeExpandVolume({ volumeId, volumeCapability, volumePath: path, capacityRange }),
    ]) {
      await expect(call()).rejects.toMatchObject(REFUSED);
    }
    const cloned = host.claims.create({ ...wrong, name: `${name}-clone`, from: { volumeId } });
    await expect(cloned).rejects.toMatchObject(REFUSED);
    expect(await host.mounted()).toEqual(mounted);
    await host.workloads.end(volumeId, "right");
    await host.claims.remove(volumeId);
  });

  it("is refused where the pool has no block devices", async () => {
    const request = { name: "raw-files", block: true, parameters: { pool: "files" } };
    await expect(host.claims.create(request)).rejects.toMatchObject(REFUSED);
    const { volumeCapabilities = [] } = createVolumeRequest(request);
    const asked = { volumeCapabilities, parameters: { pool: "files" } };
    await expect(host.plugin.controller.getCapacity(asked)).rejects.toMatchObject(REFUSED);
    expect(await host.claims.listVolumeIds()).toEqual([]);
  });

  it("is refused where a target is no empty file, and what is there stays", async () => {
    const claim = await host.claims.create({ name: "raw-target", block: true, sizeBytes: SIZE });
    const { volumeId, capability: volumeCapability } = claim;
    await host.workloads.stage(claim, {});
    const stagingTargetPath = host.workloads.stagingPath(volumeId);
    const publish = (targetPath: string) =>
      host.plugin.node.nodePublishVolume({
        ...{ volumeId, volumeCapability, stagingTargetPath, targetPath },
      });
    const targetPath = host.machine.path("theirs");
    await host.sh(`mkdir ${targetPath}`);
    await expect(publish(targetPath)).rejects.toMatchObject({ code: "failed_precondition" });
    await host.sh(`rmdir ${targetPath} && echo theirs > ${targetPath}`);
    await host.plugin.node.nodeUnpublishVolume({ volumeId, targetPath });
    expect(await host.sh(`cat ${targetPath}`)).toBe("theirs");
    await host.workloads.end(volumeId, "none");
    await host.claims.remove(volumeId);
  });

  it("is refused by lagan and Docker, with what to do", async () => {
    const claim = await host.claims.create({ name: "raw-docker", block: true, sizeBytes: SIZE });
    const { lagand } = host.machine;
    const mounting = await callPlugin(lagand.pluginSocketPath, "/VolumeDriver.Mount", {
      ...{ Name: "raw-docker", ID: "a1" },
    });
    expect(JSON.stringify(mounting)).toContain("it is a block device");
    const inspected = await host.machine.mustLagan("volume", "inspect", "raw-docker");
    expect(inspected).toMatch(/^Kind +block device/m);
    const exported = await host.machine.lagan("export", "raw-docker");
    expect(exported.code).not.toBe(0);
    expect(exported.stderr).toContain("block device");
    await host.claims.remove(claim.volumeId);
  });
});
