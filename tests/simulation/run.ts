import { setImmediate } from "node:timers/promises";
import { INVARIANTS, type Violation } from "./invariants.ts";
import { DEFAULT_POOL, NodeOnTrial } from "./node-on-trial.ts";
import type { Trouble } from "./plan.ts";
import { Users } from "./users.ts";

/** Once nothing is wrong any more, the node must be whole within this simulated time: a few rounds of its chores. */
const HEAL_BOUND_MS = 600_000;
const HEAL_LOOK_MS = 10_000;
/** Simulated time after which a schedule that has not ended never will. */
const SCHEDULE_BOUND_MS = 100 * 3_600_000;
const CHECK_EVERY_TICKS = 500;

/** What one schedule came to. */
export interface Outcome {
  readonly seed: number;
  readonly violations: readonly Violation[];
  /** Equal for two runs of one seed. */
  readonly hash: number;
  /** Calls of ports by the code under test. */
  readonly operations: number;
  readonly requests: number;
  readonly simulatedMs: number;
}

/** Runs the schedule of one seed: chaos, then healing, then a look at everything. */
export async function runSchedule(seed: number): Promise<Outcome> {
  // A turn of the real event loop: within one, weakly held signals are kept, and a long soak would fill the heap.
  await setImmediate();
  const trial = new NodeOnTrial(seed);
  const { clock } = trial.machine;
  const users = new Users(trial);
  let over = false;
  const work = schedule(trial, users)
    .catch((thrown: unknown) => {
      trial.checker.breach(14, `the schedule itself failed: ${(thrown as Error).stack}`);
    })
    .finally(() => {
      over = true;
    });
  for (let ticks = 0; !over; ticks++) {
    await clock.quiet();
    if (over) break;
    if (ticks % CHECK_EVERY_TICKS === 0) trial.checker.checkContents();
    if (!clock.tick() || clock.monotonic() > SCHEDULE_BOUND_MS) {
      const stuck = [...trial.checker.requests].map(({ verb, name }) => `${verb} ${name}`);
      trial.checker.breach(14, `never answered: ${stuck}, in the phase of ${phaseOf(trial)}`);
      break;
    }
  }
  if (over) await work;
  trial.crash();
  return {
    seed,
    violations: trial.checker.violations,
    hash: trial.chaos.hash,
    operations: trial.chaos.calls,
    requests: users.answered,
    simulatedMs: clock.monotonic(),
  };
}

/** A breach as people read it. */
export function formatViolation({ invariant, seen }: Violation): string {
  return `invariant ${invariant} (${INVARIANTS[invariant]}): ${seen}`;
}

async function schedule(trial: NodeOnTrial, users: Users): Promise<void> {
  const { plan, checker } = trial;
  if (plan.orphan) {
    await trial.plantOrphan();
    trial.machine.crash();
  }
  await trial.boot();
  const supervisor = supervise(trial);
  const people = Array.from({ length: plan.users }, () => users.run(plan.requestsPerUser));
  await Promise.all([...people, incidents(trial)]);
  await heal(trial);
  checker.checkContents();
  await users.rehearse();
  await inspect(trial);
  trial.over = true;
  await supervisor;
}

/** Starts the daemon again whenever it is dead, as systemd does. */
async function supervise(trial: NodeOnTrial): Promise<void> {
  while (!trial.over) {
    if (trial.node === undefined) {
      await trial.sleep(trial.random.below(2_000));
      trial.checker.forgetLost();
      await trial.boot();
    }
    await trial.sleep(250);
  }
}

async function incidents(trial: NodeOnTrial): Promise<void> {
  const { plan, random, machine } = trial;
  const able: Trouble[] = (
    ["crash", "powerCut", "diskFull", "wallJump", "poolFault"] as const
  ).filter((trouble) => plan.troubles.has(trouble));
  if (able.length === 0) return;
  for (let left = plan.incidents; left > 0; left--) {
    await trial.sleep(random.below(3) === 0 ? random.below(20_000) : random.below(1_500));
    switch (able[random.below(able.length)]) {
      case "crash":
        if (random.below(2) === 0) trial.crashSoon();
        else trial.crash();
        break;
      case "powerCut":
        trial.powerCut();
        break;
      case "diskFull":
        trial.fillDisk();
        if (random.below(2) === 0) {
          await trial.sleep(random.below(60_000));
          trial.emptyDisk();
        }
        break;
      case "wallJump":
        machine.clock.jump((random.below(2) === 0 ? 1 : -1) * random.below(90_000_000));
        break;
      default:
        trial.faultPool();
    }
  }
}

/** Takes everything away that is wrong, and waits until the node is whole. 9. */
async function heal(trial: NodeOnTrial): Promise<void> {
  const { machine, checker } = trial;
  trial.calm();
  const until = machine.clock.monotonic() + HEAL_BOUND_MS;
  let missing = "";
  while (machine.clock.monotonic() < until) {
    // First a round of its looks at the pools, so that what it says is of now.
    await trial.sleep(HEAL_LOOK_MS);
    missing = await whatIsMissing(trial);
    if (missing === "") return;
  }
  checker.breach(9, `not whole after ${HEAL_BOUND_MS} ms: ${missing}`);
}

async function whatIsMissing({ node, checker, machine }: NodeOnTrial): Promise<string> {
  if (node === undefined) return "the daemon";
  const { pools, operations } = node.services;
  const { health, driver } = pools.describe(DEFAULT_POOL);
  if (health.state === "faulted") return `pool: ${health.why}`;
  // What the daemon last saw may be older than the last fault.
  const now = await driver.health(new AbortController().signal);
  if (now.state === "faulted") return `pool, unnoticed: ${now.why}`;
  const running = (await operations.list()).filter(({ status }) => status.state === "running");
  if (running.length > 0) return `running: ${JSON.stringify(running)}`;
  const late = [...checker.volumes.values()].filter(({ volume: { status }, state }) =>
    status.state === "trashed" && state === "trashed"
      ? status.expiresAt !== null && status.expiresAt <= machine.clock.now()
      : state === "creating" || state === "removing",
  );
  const undone = [...checker.snapshots.all.values()].filter(
    ({ state }) => state === "creating" || state === "removing",
  );
  return [
    ...late.map(({ volume, state }) => `${volume.name} is ${state}`),
    ...undone.map(({ snapshot, state }) => `snapshot ${snapshot.id} is ${state}`),
  ].join(", ");
}

/** 1, 7 and 10, at the end. */
async function inspect(trial: NodeOnTrial): Promise<void> {
  const { node, checker, plan, orphan, machine } = trial;
  if (node === undefined) return;
  checker.checkContents();
  const signal = new AbortController().signal;
  const { orphans, lost } = await node.reconcile.compare(signal);
  for (const { volume } of lost) checker.breach(1, `${volume.name} is lost`);
  const strange = orphans.map(({ layer }) => layer).filter((layer) => layer !== orphan);
  if (strange.length > 0) checker.breach(10, `layers of nobody: ${strange}`);
  if (orphan !== undefined && orphans.every(({ layer }) => layer !== orphan)) {
    checker.breach(10, `orphan ${orphan} was removed`);
  }
  const { mounts, loops } = trial.countOfPool();
  const most = plan.driver === "btrfs" ? 1 : 0;
  if (mounts > most || loops > most) {
    checker.breach(7, `${mounts} mounts and ${loops} loop devices, and ${most} pool to be mounted`);
  }
  if (machine.processes.length !== 1) checker.breach(7, "a process is left");
  // What failed calls left, the next open clears away.
  trial.crash();
  while (trial.node === undefined) await trial.sleep(1_000);
  const path = checker.poolRoot(DEFAULT_POOL);
  const left = machine.namespace.find(`${path}/tmp`)?.node.entries.size ?? 0;
  if (left > 0) checker.breach(10, `${left} leftovers in ${path}/tmp`);
}

function phaseOf({ chaos }: NodeOnTrial): string {
  return chaos.on ? "chaos" : "healing";
}
