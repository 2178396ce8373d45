import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Claim } from "../co/claims.ts";
import { CsiHost } from "./csi-host.ts";
import { loadBusybox } from "./images.ts";

/* What a claim holds: through workloads, snapshots, clones, expansion, and for Docker and `lagan` beside. */

const MIB = 1024n ** 2n;
const BTRFS = "pools:\n  default:\n    driver: btrfs\n    size: 512M\n";
const LOOP = "pools:\n  default:\n    driver: loop\n";

describe.each([
  ["btrfs", BTRFS, "in use"],
  // An image on ext4 without CAP_SYS_RESOURCE, as here: no snapshot and no growth in use.
  ["loop", LOOP, "idle"],
] as const)("a claim on %s", (_, config, changes) => {
  let host: CsiHost;
  beforeAll(async () => {
    host = await CsiHost.start({ config });
  });
  afterAll(async () => {
    await host[Symbol.asyncDispose]();
  });
  /** Takes the claim from its workload where the driver wants that for what comes next. */
  const between = async ({ volumeId }: Claim, workload = "writer") => {
    if (changes === "idle") await host.workloads.end(volumeId, workload);
  };
  const start = async (...given: Parameters<CsiHost["workloads"]["start"]>) =>
    host.workloads.start(...given);

  it("holds what a workload wrote for the next one, and nothing stays mounted", async () => {
    const claim = await host.claims.create({ name: "pvc-kept", sizeBytes: 32n * MIB });
    expect(claim.sizeBytes).toBe(32n * MIB);
    const first = await start(claim, "first");
    await host.sh(`echo kept > ${first}/file && sync -f ${first}`);
    await host.workloads.end(claim.volumeId, "first");
    expect(await host.mounted()).toEqual([]);
    await expect(host.sh(`test -e ${first}`)).rejects.toThrow();
    const second = await start(claim, "second");
    expect(await host.sh(`cat ${second}/file`)).toBe("kept");
    await host.workloads.end(claim.volumeId, "second");
    await host.claims.remove(claim.volumeId);
    expect(await host.claims.listVolumeIds()).not.toContain(claim.volumeId);
  });

  it("is full at its size", async () => {
    const claim = await host.claims.create({ name: "pvc-full", sizeBytes: 24n * MIB });
    const path = await start(claim, "web");
    const fill = `dd if=/dev/urandom of=${path}/big bs=1M count=64 && sync -f ${path}`;
    await expect(host.sh(fill)).rejects.toThrow(/quota exceeded|No space/i);
    await host.workloads.end(claim.volumeId, "web");
    await host.claims.remove(claim.volumeId);
  });

  it("cannot be written by a workload that has it read-only", async () => {
    const mode = "MULTI_NODE_MULTI_WRITER" as const;
    const claim = await host.claims.create({ name: "pvc-ro", sizeBytes: 32n * MIB, mode });
    const writer = await start(claim, "writer");
    const reader = await start(claim, "reader", { readOnly: true });
    await host.sh(`echo seen > ${writer}/file`);
    expect(await host.sh(`cat ${reader}/file`)).toBe("seen");
    await expect(host.sh(`echo no > ${reader}/file`)).rejects.toThrow(/Read-only/);
    for (const one of ["writer", "reader"]) await host.workloads.end(claim.volumeId, one);
    await host.claims.remove(claim.volumeId);
  });

  it("is mounted with the flags that were asked for", async () => {
    const mountFlags = ["noatime", "noexec"];
    const claim = await host.claims.create({ name: "pvc-flags", sizeBytes: 32n * MIB, mountFlags });
    const path = await start(claim, "web");
    const options = (await host.sh(`findmnt -n -o OPTIONS --mountpoint ${path}`)).split(",");
    expect(options).toEqual(expect.arrayContaining(mountFlags));
    await host.sh(`printf '#!/bin/sh\\n' > ${path}/script && chmod +x ${path}/script`);
    await expect(host.sh(`${path}/script`)).rejects.toThrow(/Permission denied/);
    await host.workloads.end(claim.volumeId, "web");
    await host.claims.remove(claim.volumeId);
  });

  it("is the group's that it is given to", async () => {
    const claim = await host.claims.create({
      name: "pvc-group",
      sizeBytes: 32n * MIB,
      group: "2000",
    });
    const path = await start(claim, "web");
    // From inside: nobody but root comes through the directories above it.
    const asMember = "setpriv --reuid 1000 --regid 1000 --groups 2000";
    await host.sh(`cd ${path} && ${asMember} sh -c 'echo mine > file'`);
    expect(await host.sh(`stat -c %g ${path} ${path}/file`)).toBe("2000\n2000");
    const asOther = "setpriv --reuid 1001 --regid 1001 --clear-groups";
    const denied = host.sh(`cd ${path} && ${asOther} sh -c 'echo no > file'`);
    await expect(denied).rejects.toThrow(/Permission denied/);
    await host.workloads.end(claim.volumeId, "web");
    await host.claims.remove(claim.volumeId);
  });

  it("starts from a snapshot or another claim as they were, to the byte, and outlives them", async () => {
    const { claims, workloads } = host;
    const source = await claims.create({ name: "pvc-source", sizeBytes: 64n * MIB });
    const path = await start(source, "writer");
    const write = "for n in 1 2 3 4 5 6 7 8; do head -c 1000000 /dev/urandom > f$n; done";
    await host.sh(`cd ${path} && mkdir -p a/b && ${write} && ln f1 a/hard && ln -s ../f2 a/soft`);
    const sums = (at: string) =>
      host.sh(`cd ${at} && find . ! -name lost+found -type f | sort | xargs sha256sum`);
    const before = await sums(path);
    await between(source);
    const snapshot = await claims.snapshot(source.volumeId, "snapshot-1");
    expect(snapshot).toMatchObject({ sourceVolumeId: source.volumeId, readyToUse: true });
    await start(source, "writer");
    await host.sh(`cd ${path} && rm f1 && echo changed > f2`);
    const after = await sums(path);
    await between(source);
    const size = { sizeBytes: 64n * MIB };
    const { snapshotId } = snapshot;
    const restored = await claims.create({ name: "pvc-restored", ...size, from: { snapshotId } });
    const { volumeId } = source;
    const copy = await claims.create({ name: "pvc-copy", ...size, from: { volumeId } });
    await workloads.end(volumeId, "writer");
    await claims.removeSnapshot(snapshotId);
    await claims.remove(volumeId);
    expect(await sums(await start(restored, "reader"))).toBe(before);
    expect(await sums(await start(copy, "reader"))).toBe(after);
    for (const claim of [restored, copy]) {
      await workloads.end(claim.volumeId, "reader");
      await claims.remove(claim.volumeId);
    }
  });

  it("has more room after an expansion", async () => {
    const claim = await host.claims.create({ name: "pvc-grown", sizeBytes: 24n * MIB });
    const path = await start(claim, "web");
    const fill = (megabytes: number) =>
      host.sh(`dd if=/dev/urandom of=${path}/big bs=1M count=${megabytes} && sync -f ${path}`);
    await expect(fill(48)).rejects.toThrow();
    await between(claim, "web");
    const { onNode } = await host.claims.expand(claim, 96n * MIB);
    await start(claim, "web");
    if (onNode) await host.workloads.expand(claim, "web", 96n * MIB);
    await fill(48);
    const stats = await host.plugin.node.nodeGetVolumeStats({
      ...{ volumeId: claim.volumeId, volumePath: path },
      stagingTargetPath: host.workloads.stagingPath(claim.volumeId),
    });
    const bytes = stats.usage.find(({ unit }) => unit === 1);
    expect(Number(bytes?.total)).toBeGreaterThan(Number(80n * MIB));
    expect(Number(bytes?.used)).toBeGreaterThanOrEqual(Number(48n * MIB));
    // btrfs counts no inodes.
    expect(stats.usage.some(({ unit }) => unit === 2)).toBe(changes === "idle");
    await host.workloads.end(claim.volumeId, "web");
    await host.claims.remove(claim.volumeId);
  });
});

describe("a claim made without a size", () => {
  it("on loop never gets smaller by an expansion than the image that it has", async () => {
    await using host = await CsiHost.start({ config: LOOP });
    const claim = await host.claims.create({ name: "pvc-sizeless" });
    const usual = 10n * 1024n * MIB;
    expect(await host.claims.expand(claim, 64n * MIB)).toMatchObject({ sizeBytes: usual });
    const path = await host.workloads.start(claim, "web");
    const blocks = await host.sh(`stat -f -c '%b %S' ${path}`);
    const [count = 0, unit = 0] = blocks.split(" ").map(Number);
    expect(count * unit).toBeGreaterThan(0.9 * Number(usual));
    const { volumeId } = claim;
    const capacityRange = { requiredBytes: 0n, limitBytes: 64n * MIB };
    const limited = host.plugin.controller.controllerExpandVolume({ volumeId, capacityRange });
    await expect(limited).rejects.toMatchObject({ code: "out_of_range" });
    await host.workloads.end(volumeId, "web");
    const larger = await host.claims.expand(claim, usual + 64n * MIB);
    expect(larger).toMatchObject({ sizeBytes: usual + 64n * MIB });
  });
});

describe("Docker and lagan beside CSI", () => {
  it("use a claim, and CSI uses what they made", async () => {
    await using host = await CsiHost.start({ config: BTRFS });
    const { machine, claims, workloads } = host;
    await machine.engine.start();
    await loadBusybox(machine);
    const docker = (volume: string, command: string) =>
      machine.mustDocker(
        ...["run", "--rm", "--network=none", "-v", `${volume}:/v`, "busybox", "sh", "-c", command],
      );
    const claim = await claims.create({ name: "pvc-data", sizeBytes: 32n * MIB });
    const names = async () => (await machine.mustLagan("volume", "ls", "--quiet")).split("\n");
    expect(await names()).toContain("pvc-data");
    const path = await workloads.start(claim, "web");
    await host.sh(`echo of-the-pod > ${path}/file`);
    await machine.mustLagan("snapshot", "create", "pvc-data", "--name", "monday");
    await workloads.end(claim.volumeId, "web");
    expect(await docker("pvc-data", "cat /v/file && echo of-docker > /v/file")).toBe("of-the-pod");
    expect(await host.sh(`cat ${await workloads.start(claim, "next")}/file`)).toBe("of-docker");

    // The other way round: made by Docker and lagan, used by CSI.
    await machine.mustDocker("volume", "create", "-d", "lagan", "mine");
    await docker("mine", "echo mine > /v/file");
    const listed = await host.plugin.controller.listVolumes();
    expect(listed.entries.length).toBe(2);
    const other = listed.entries.find(({ volume }) => volume?.volumeId !== claim.volumeId)?.volume;
    const mine = { ...claim, name: "mine", volumeId: other?.volumeId ?? "" };
    expect(await host.sh(`cat ${await workloads.start(mine, "web")}/file`)).toBe("mine");
    const { entries } = await host.plugin.controller.listSnapshots({
      sourceVolumeId: claim.volumeId,
    });
    const [monday] = entries;
    const from = { snapshotId: monday?.snapshot?.snapshotId ?? "" };
    const restored = await claims.create({ name: "pvc-monday", sizeBytes: 32n * MIB, from });
    expect(await host.sh(`cat ${await workloads.start(restored, "web")}/file`)).toBe("of-the-pod");
    // What a pod has is not removed under it.
    expect((await machine.lagan("volume", "rm", "mine")).stderr).toContain("in use");
  });
});

describe("a topology", () => {
  const elsewhere = { segments: { "lagan.io/node": "another" } };
  const DIRECTORY =
    'csi: { node: node-1, health: "true" }\npools: { default: { driver: directory } }\n';

  it("is chosen where the volume can be, and refused where it cannot", async () => {
    await using host = await CsiHost.start({ config: DIRECTORY });
    const here = { segments: { "lagan.io/node": "node-1" } };
    expect(host.facts.nodeInfo.accessibleTopology).toEqual(here);
    const both = [elsewhere, here];
    const chosen = await host.claims.create({
      ...{ name: "pvc-here", topology: { requisite: both, preferred: both } },
    });
    expect(chosen.topology).toEqual([here]);
    const refused = host.claims.create({
      ...{ name: "pvc-there" },
      topology: { requisite: [elsewhere], preferred: [elsewhere] },
    });
    await expect(refused).rejects.toMatchObject({ code: "resource_exhausted" });
    expect(await host.claims.listVolumeIds()).toEqual([chosen.volumeId]);

    const { controller } = host.plugin;
    const request = { sourceVolumeId: chosen.volumeId, name: "snapshot-1" };
    const accessibilityRequirements = { requisite: [here], preferred: [here] };
    const taken = await controller.createSnapshot({ ...request, accessibilityRequirements });
    expect(taken.snapshot?.accessibleTopology).toEqual([here]);
    const there = controller.createSnapshot({
      ...{ ...request, name: "snapshot-2" },
      accessibilityRequirements: { requisite: [elsewhere], preferred: [] },
    });
    await expect(there).rejects.toMatchObject({ code: "resource_exhausted" });
  });
});

describe("growth by the node alone", () => {
  it("is not offered by the controller, and done where the claim is used", async () => {
    const config = `csi: { expandBy: node }\n${BTRFS}`;
    await using host = await CsiHost.start({ config });
    const EXPAND_VOLUME = { controller: 9, node: 3 };
    expect(host.facts.controller.has(EXPAND_VOLUME.controller)).toBe(false);
    expect(host.facts.node.has(EXPAND_VOLUME.node)).toBe(true);
    const claim = await host.claims.create({ name: "pvc-node", sizeBytes: 24n * MIB });
    const path = await host.workloads.start(claim, "web");
    expect(await host.workloads.expand(claim, "web", 96n * MIB)).toBe(96n * MIB);
    await host.sh(`dd if=/dev/urandom of=${path}/big bs=1M count=48 && sync -f ${path}`);
  });
});
