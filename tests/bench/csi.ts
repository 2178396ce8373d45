import { setTimeout as sleep } from "node:timers/promises";
import { type Claim, Claims } from "../co/claims.ts";
import { Plugin } from "../co/plugin.ts";
import type { Patience } from "../co/retry.ts";
import { Workloads } from "../co/workloads.ts";
import { csiSocketOf } from "../real/csi-host.ts";
import { BenchHost } from "./bench-host.ts";
import { type Figure, median, quantile, type Table } from "./figure.ts";

/** What Kubernetes asks for a claim of mode ReadWriteOnce. */
const WISH = { sizeBytes: 1_000_000_000n, mode: "SINGLE_NODE_MULTI_WRITER" } as const;
const ROUNDS = 200;
const WARM_UP = 10;
const CONCURRENCY = 16;
/** How long it has nothing to do before its memory is read, in milliseconds. */
const IDLE_MS = 15_000;
const PATIENCE: Patience = { withinMs: 60_000 };

/**
 * What an orchestrator waits for: single calls one after the other, then `volumes` made and published at once by
 * 16 callers. Alone: the CSI hostpath driver is no module of the Go module proxy.
 */
export async function benchCsi(volumes: number): Promise<readonly Table[]> {
  await using host = await BenchHost.create("btrfs");
  await host.startLagand();
  const plugin = new Plugin(csiSocketOf(host.machine));
  try {
    const facts = await plugin.facts(PATIENCE);
    await sleep(IDLE_MS);
    const idle = host.residentMb();
    const claims = new Claims(plugin, PATIENCE);
    const workloads = new Workloads({
      ...{ plugin, facts, patience: PATIENCE },
      ...{ directory: host.machine.path("kubelet"), root: host.machine.namespace.inside("") },
    });
    const single = await benchCalls(plugin, claims, workloads);
    const begin = performance.now();
    await makeAndPublish(volumes, claims, workloads);
    const took = performance.now() - begin;
    await sleep(IDLE_MS);
    return [
      {
        title: `CSI on btrfs, one caller, ${ROUNDS} rounds`,
        rows: single,
      },
      {
        title: `CSI on btrfs, ${volumes.toLocaleString("en")} volumes, ${CONCURRENCY} callers`,
        rows: [
          {
            what: "all created, staged and published",
            ...{ value: took, unit: "ms", target: { atMost: 60 * volumes } },
          },
          { what: "resident memory before", value: idle, unit: "MB" },
          {
            what: "resident memory with all of them published",
            ...{ value: host.residentMb(), unit: "MB", target: { atMost: 150 } },
          },
        ],
      },
    ];
  } finally {
    plugin.close();
  }
}

async function benchCalls(
  plugin: Plugin,
  claims: Claims,
  workloads: Workloads,
): Promise<readonly Figure[]> {
  const samples = { create: [] as number[], publish: [] as number[], probe: [] as number[] };
  const timed = async <T>(into: number[], work: () => Promise<T>): Promise<T> => {
    const begin = performance.now();
    const outcome = await work();
    into.push(performance.now() - begin);
    return outcome;
  };
  for (let n = 0; n < WARM_UP + ROUNDS; n += 1) {
    const claim = await timed(samples.create, () => claims.create({ name: `pvc-${n}`, ...WISH }));
    await workloads.stage(claim, {});
    await timed(samples.publish, () => publishAndBack(plugin, workloads, claim));
    await timed(samples.probe, () => plugin.identity.probe());
    await plugin.node.nodeUnstageVolume({
      ...{ volumeId: claim.volumeId },
      stagingTargetPath: workloads.stagingPath(claim.volumeId),
    });
    await claims.remove(claim.volumeId);
  }
  const figures = (what: string, all: readonly number[], atMost?: number): readonly Figure[] => {
    const warm = all.slice(WARM_UP);
    const target = atMost === undefined ? {} : { target: { atMost } };
    return [
      { what: `${what}, p50`, value: median(warm), unit: "ms", ...target },
      { what: `${what}, p99`, value: quantile(warm, 0.99), unit: "ms" },
    ];
  };
  return [
    ...figures("CreateVolume", samples.create, 10),
    ...figures("NodePublishVolume + NodeUnpublishVolume", samples.publish, 10),
    ...figures("Probe", samples.probe),
  ];
}

async function publishAndBack(plugin: Plugin, workloads: Workloads, claim: Claim): Promise<void> {
  const { volumeId, capability, context } = claim;
  const targetPath = `${workloads.stagingPath(volumeId)}-target`;
  await plugin.node.nodePublishVolume({
    ...{ volumeId, targetPath, stagingTargetPath: workloads.stagingPath(volumeId) },
    ...{ volumeCapability: capability, volumeContext: { ...context } },
  });
  await plugin.node.nodeUnpublishVolume({ volumeId, targetPath });
}

async function makeAndPublish(count: number, claims: Claims, workloads: Workloads): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < count) {
      const claim = await claims.create({ name: `pvc-many-${next++}`, ...WISH });
      await workloads.start(claim, "web");
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
}
