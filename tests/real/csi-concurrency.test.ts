import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { capabilityOf } from "../co/capability.ts";
import { createVolumeRequest } from "../co/claims.ts";
import { CsiHost } from "./csi-host.ts";

/* Many callers at once. */

const MIB = 1024n ** 2n;
const MANY = 100;
const many = <T>(work: (n: number) => Promise<T>) =>
  Promise.all(Array.from({ length: MANY }, (_, n) => work(n)));

describe("the driver under many callers", () => {
  let host: CsiHost;
  beforeAll(async () => {
    host = await CsiHost.start({
      config: "pools:\n  default:\n    driver: btrfs\n    size: 512M\n",
    });
  });
  afterAll(async () => {
    await host[Symbol.asyncDispose]();
  });

  it("makes one volume for a hundred callers with one name", async () => {
    const made = await many(() => host.claims.create({ name: "pvc-one", sizeBytes: 16n * MIB }));
    expect(new Set(made.map(({ volumeId }) => volumeId)).size).toBe(1);
    expect(await host.claims.listVolumeIds()).toHaveLength(1);
  });

  it("lets one of two win who want different volumes of one name", async () => {
    const sizes = [16n, 32n].map((size) => size * MIB);
    const tried = await Promise.allSettled(
      sizes.map((sizeBytes) => host.claims.create({ name: "pvc-two", sizeBytes })),
    );
    const [lost] = tried.filter((one) => one.status === "rejected");
    expect(tried.filter((one) => one.status === "fulfilled")).toHaveLength(1);
    expect(lost?.reason).toMatchObject({ code: "already_exists" });
  });

  it("publishes one volume for a hundred workloads at once, and takes it back from all", async () => {
    const mode = "MULTI_NODE_MULTI_WRITER" as const;
    const claim = await host.claims.create({ name: "pvc-shared", sizeBytes: 16n * MIB, mode });
    const paths = await many((n) => host.workloads.start(claim, `pod-${n}`));
    await host.sh(`echo all > ${paths[0]}/file`);
    expect(await host.sh(`cat ${paths.map((path) => `${path}/file`).join(" ")} | sort -u`)).toBe(
      "all",
    );
    await many((n) => host.workloads.end(claim.volumeId, `pod-${n}`));
    expect(await host.mounted()).toEqual([]);
  });

  it("gives a volume for one writer to one of a hundred", async () => {
    const claim = await host.claims.create({ name: "pvc-alone", sizeBytes: 16n * MIB });
    const volumeId = claim.volumeId;
    const staged = host.workloads.stagingPath(volumeId);
    await host.workloads.stage(claim, {});
    const publish = (n: number) =>
      host.plugin.node
        .nodePublishVolume({
          ...{ volumeId, stagingTargetPath: staged, volumeCapability: capabilityOf({}) },
          targetPath: host.machine.path(`kubelet/alone-${n}`),
        })
        .then(
          () => "OK",
          (failure: { readonly code: string }) => failure.code,
        );
    const outcomes = await many(publish);
    const won = outcomes.flatMap((outcome, n) => (outcome === "OK" ? [n] : []));
    expect(won).toHaveLength(1);
    const others = new Set(outcomes.filter((outcome) => outcome !== "OK"));
    expect([...others].every((code) => ["failed_precondition", "aborted"].includes(code))).toBe(
      true,
    );
    const targetPath = host.machine.path(`kubelet/alone-${won[0]}`);
    await host.plugin.node.nodeUnpublishVolume({ volumeId, targetPath });
    await host.plugin.node.nodeUnstageVolume({ volumeId, stagingTargetPath: staged });
    expect(await host.mounted()).toEqual([]);
  });

  it("makes, publishes and removes a hundred volumes at once, and answers Probe meanwhile", async () => {
    let busy = true;
    const probes: number[] = [];
    const probing = (async () => {
      while (busy) {
        const from = performance.now();
        await host.plugin.identity.probe({}, { timeoutMs: 3_000 });
        probes.push(performance.now() - from);
      }
    })();
    const claims = await many((n) =>
      host.claims.create({ name: `pvc-many-${n}`, sizeBytes: 4n * MIB }),
    );
    const paths = await Promise.all(claims.map((claim) => host.workloads.start(claim, "web")));
    await host.sh(paths.map((path, n) => `echo ${n} > ${path}/n`).join("\n"));
    const read = await host.sh(`cat ${paths.map((path) => `${path}/n`).join(" ")}`);
    expect(read.split("\n")).toEqual(Array.from({ length: MANY }, (_, n) => String(n)));
    await Promise.all(claims.map(({ volumeId }) => host.workloads.end(volumeId, "web")));
    await Promise.all(claims.map(({ volumeId }) => host.claims.remove(volumeId)));
    busy = false;
    await probing;
    expect(probes.length).toBeGreaterThan(3);
    expect(Math.max(...probes)).toBeLessThan(3_000);
    expect(await host.mounted()).toEqual([]);
    const left = await host.claims.listVolumeIds();
    expect(left.filter((id) => claims.some(({ volumeId }) => volumeId === id))).toEqual([]);
  });

  it("goes on with what its caller gave up, and the next try joins it", async () => {
    const request = createVolumeRequest({ name: "pvc-slow", sizeBytes: 16n * MIB });
    const { controller } = host.plugin;
    const given = Array.from({ length: 10 }, () =>
      controller.createVolume(request, { timeoutMs: 1 }),
    );
    await Promise.allSettled(given);
    const claim = await host.claims.create({ name: "pvc-slow", sizeBytes: 16n * MIB });
    const ids = await host.claims.listVolumeIds();
    expect(ids.filter((id) => id === claim.volumeId)).toHaveLength(1);
  });

  it("lists page by page what one answer would hold", async () => {
    const whole = await host.claims.listVolumeIds();
    expect(whole.length).toBeGreaterThan(3);
    expect(await host.claims.listVolumeIds(2)).toEqual(whole);
  });
});
