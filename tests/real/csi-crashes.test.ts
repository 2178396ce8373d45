import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import type { Claim } from "../co/claims.ts";
import { eventually } from "./command.ts";
import { CsiHost } from "./csi-host.ts";
import { findLoops } from "./leftovers.ts";
import { COUNTABLE, findCrashPoints, sampled, strike } from "./struck-lagand.ts";

/*
 * The daemon killed by the kernel at the n-th system call that has an effect, under an orchestrator that repeats what it
 * did not hear the end of. LAGAN_CRASH_POINTS=all takes every point; otherwise some of each call.
 */

const POINTS = 3;
const TEST_MS = process.env["LAGAN_CRASH_POINTS"] === "all" ? 3_600_000 : 300_000;
const MIB = 1024n ** 2n;
const LOOP = "pools:\n  default:\n    driver: loop\n";
/** Where a volume grows while it is used, whatever the test may do. */
const BTRFS = "pools:\n  default:\n    driver: btrfs\n    size: 512M\n";

interface Step {
  readonly step: string;
  readonly config?: string;
  /** Brings a claim to where the step can be done. */
  readonly prepare: (host: CsiHost, name: string) => Promise<Claim>;
  readonly act: (host: CsiHost, claim: Claim) => Promise<unknown>;
}

type Create = (host: CsiHost, name: string) => Promise<Claim>;
const create: Create = (host, name) => host.claims.create({ name, sizeBytes: 24n * MIB });
const createBlock: Create = (host, name) =>
  host.claims.create({ name, sizeBytes: 24n * MIB, block: true });
const startedBy =
  (make: Create): Create =>
  async (host, name) => {
    const claim = await make(host, name);
    await host.workloads.start(claim, "web");
    return claim;
  };
const started = startedBy(create);
const unmade = async (_: CsiHost, name: string) => ({ name }) as Claim;

const STEPS: readonly Step[] = [
  { step: "create", prepare: unmade, act: (host, { name }) => create(host, name) },
  { step: "start", prepare: create, act: (host, claim) => host.workloads.start(claim, "web") },
  {
    step: "end",
    prepare: started,
    act: (host, { volumeId }) => host.workloads.end(volumeId, "web"),
  },
  {
    step: "start-block",
    prepare: createBlock,
    act: (host, claim) => host.workloads.start(claim, "web"),
  },
  {
    step: "end-block",
    prepare: startedBy(createBlock),
    act: (host, { volumeId }) => host.workloads.end(volumeId, "web"),
  },
  {
    step: "grow-block",
    prepare: startedBy(createBlock),
    act: (host, claim) => host.claims.expand(claim, 48n * MIB),
  },
  {
    step: "snapshot",
    prepare: create,
    act: (host, { volumeId, name }) => host.claims.snapshot(volumeId, `of-${name}`),
  },
  {
    step: "expand",
    config: BTRFS,
    prepare: started,
    act: async (host, claim) => {
      const { onNode } = await host.claims.expand(claim, 48n * MIB);
      if (onNode) await host.workloads.expand(claim, "web", 48n * MIB);
    },
  },
  { step: "remove", prepare: create, act: (host, { volumeId }) => host.claims.remove(volumeId) },
];

describe("an orchestrator whose driver is killed", () => {
  it.each(STEPS)(
    "gets $step done all the same, once",
    async ({ step, config = LOOP, prepare, act }) => {
      await using host = await CsiHost.start({ config, env: COUNTABLE });
      const first = await prepare(host, `${step}-0`);
      const points = sampled(await findCrashPoints(host.machine, () => act(host, first)), POINTS);
      expect(points.length).toBeGreaterThan(0);
      // As far as the step has let it.
      if (first.volumeId !== undefined) await host.workloads.end(first.volumeId, "web");
      for (const [index, point] of points.entries()) {
        const claim = await prepare(host, `${step}-${index + 1}`);
        // It repeats by itself, until the daemon that comes next has answered.
        const acted: { outcome?: Promise<unknown> } = {};
        await strike(host.machine, point, () => {
          acted.outcome ??= act(host, claim);
          void acted.outcome.catch(() => undefined);
          return Promise.race([acted.outcome, died(host)]);
        });
        await host.machine.lagand.start();
        await host.meet();
        await acted.outcome;
        await holds(host, step, claim);
      }
    },
    TEST_MS,
  );

  it("finds its volumes published as they were, and workloads write on", async () => {
    await using host = await CsiHost.start({ config: LOOP });
    const claim = await create(host, "pvc-running");
    const path = await host.workloads.start(claim, "web");
    const count = async () => Number(await host.sh(`cat ${path}/n`).catch(() => "0"));
    const loop = `n=0; while [ -e ${path} ]; do n=$((n+1)); echo $n > ${path}/m && mv ${path}/m ${path}/n; sleep 0.02; done`;
    const writing = host.machine.run(["sh", "-c", loop]);
    await eventually("it writes", async () => (await count()) > 2);
    const mounted = await host.mounted();
    await host.machine.lagand.crash();
    await host.meet();
    const before = await count();
    await eventually("it writes on", async () => (await count()) > before);
    expect(await host.mounted()).toEqual(mounted);
    // What an orchestrator that lost its memory does: all of it once more.
    expect(await host.workloads.start(claim, "web")).toBe(path);
    expect(await host.mounted()).toEqual(mounted);
    await host.sh(`pkill -f 'while \\[ -e ${path} \\]' || true`);
    await writing;
    await host.workloads.end(claim.volumeId, "web");
    expect(await host.mounted()).toEqual([]);
  });

  it("is drained by SIGTERM (12): calls under way end, mounts stay, the exit code is 0", async () => {
    await using host = await CsiHost.start({ config: LOOP });
    const { lagand } = host.machine;
    const kept = await started(host, "pvc-kept");
    const mounted = await host.mounted();
    const created = host.plugin.controller.createVolume({
      ...{ name: "pvc-last", volumeCapabilities: [kept.capability] },
      capacityRange: { requiredBytes: 24n * MIB, limitBytes: 0n },
    });
    const outcome = await Promise.all([
      created.then(
        () => "done",
        ({ code }: { readonly code: string }) => code,
      ),
      lagand.stop(),
    ]);
    expect(["done", "unavailable"]).toContain(outcome[0]);
    expect(lagand.exitCode).toBe(0);
    expect(await host.mounted()).toEqual(mounted);
    await lagand.start();
    await host.meet();
    const last = await host.claims.create({ name: "pvc-last", sizeBytes: 24n * MIB });
    expect(await host.claims.listVolumeIds()).toEqual(
      expect.arrayContaining([kept.volumeId, last.volumeId]),
    );
  });

  it("takes the place of a socket that a dead one left, and not that of a living one", async () => {
    await using host = await CsiHost.start({ config: LOOP });
    const { lagand, namespace } = host.machine;
    await lagand.kill();
    expect(await host.sh(`test -S ${host.socketPath} && echo left`)).toBe("left");
    await lagand.start();
    await host.meet();
    expect(await host.sh(`stat -c %a ${host.socketPath}`)).toBe("600");
    expect(await readFile(`/proc/${namespace.anchorPid}/comm`, "utf8")).toBe("sh\n");
  });
});

/** What must be so after a step, however often the daemon was killed in it. */
async function holds(host: CsiHost, step: string, claim: Claim): Promise<void> {
  const names = (await host.machine.mustLagan("volume", "ls", "--quiet")).split("\n");
  expect(names.filter((name) => name === claim.name)).toHaveLength(step === "remove" ? 0 : 1);
  if (step === "remove") return;
  if (step.endsWith("-block")) return holdsDevice(host, step, claim);
  const { volumeId } = await create(host, claim.name).catch(() => claim);
  const path = host.workloads.targetPath(volumeId, "web");
  const at = (await host.mounted()).filter((point) => point === path);
  if (step === "start" || step === "expand") {
    // Mounted once, not once a try.
    expect(at).toHaveLength(1);
    await host.sh(`echo works > ${path}/file`);
    await host.workloads.end(volumeId, "web");
  }
  if (step === "end") expect(at).toEqual([]);
  if (step === "snapshot") {
    const { entries } = await host.plugin.controller.listSnapshots({ sourceVolumeId: volumeId });
    expect(entries).toHaveLength(1);
  }
  await host.workloads.end(volumeId, "web");
  expect(await host.mounted()).toEqual([]);
}

/** One device while it is published, and none after. */
async function holdsDevice(host: CsiHost, step: string, { volumeId }: Claim): Promise<void> {
  const { machine, workloads } = host;
  const path = workloads.targetPath(volumeId, "web");
  const devices = () => findLoops(machine.namespace.name);
  if (step !== "end-block") {
    expect((await host.mounted()).filter((point) => point === path)).toHaveLength(1);
    expect(devices()).toHaveLength(1);
    const size = BigInt(await host.sh(`blockdev --getsize64 ${path}`));
    expect(size).toBe(step === "grow-block" ? 48n * MIB : 24n * MIB);
    await workloads.end(volumeId, "web");
  }
  expect(await host.mounted()).toEqual([]);
  await eventually("no device is left", () => devices().length === 0);
}

/** Rejects when the daemon has gone: what waits for an answer goes on by itself, but the strike is over. */
async function died({ machine }: CsiHost): Promise<never> {
  await eventually("the daemon is dead", () => !machine.lagand.running, { timeoutMs: 120_000 });
  throw new Error("the daemon is dead");
}
