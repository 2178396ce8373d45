import { readdir, readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "./command.ts";
import { HISTORY_VERBS, type HistoryVerb, historyVerbs, type Verb } from "./history-verbs.ts";
import { findLoops } from "./leftovers.ts";
import { Machine } from "./machine.ts";
import { NodeTeller } from "./node-teller.ts";
import {
  COUNTABLE,
  type CrashPoint,
  findCrashPoints,
  HELD_BACK,
  sampled,
  strike,
} from "./struck-lagand.ts";

/*
 * As crash-matrix.test.ts, for history: a lagand that is killed by the kernel at the n-th system call that has an effect, and
 * started again. LAGAN_CRASH_POINTS=all takes every one, otherwise some of each verb.
 */

const ALL = process.env["LAGAN_CRASH_POINTS"] === "all";
const TEST_MS = ALL ? 3_600_000 : 120_000;
const POOL = "pools:\n  default:\n    driver: btrfs\n    size: 512M\n";
const HOME = "state/pools/default/mnt";

let machine: Machine;
let node: NodeTeller;
let verbs: Readonly<Record<HistoryVerb, Verb>>;
beforeAll(async () => {
  machine = await Machine.create();
  node = new NodeTeller(machine);
  verbs = historyVerbs(machine, node, { limited: true });
});
afterAll(() => machine[Symbol.asyncDispose]());

/** Layers in the pool, and what it has begun and not finished. */
async function layers(): Promise<number> {
  const root = machine.namespace.inside(machine.path(HOME));
  expect(await readdir(`${root}/tmp`)).toEqual([]);
  return (await readdir(`${root}/layers`)).length;
}

async function holdings(): Promise<{ loops: number; mounts: number }> {
  const { stdout } = await machine.run(["cat", "/proc/self/mountinfo"]);
  const mounts = stdout.split("\n").filter((line) => line.includes(machine.path("state")));
  return { loops: findLoops(machine.namespace.name).length, mounts: mounts.length };
}

/** Those to take first, and those for when a second run does not come to a call of the first. */
function* inTurn(points: readonly CrashPoint[], struck: () => number): Iterable<CrashPoint> {
  const chosen = sampled(points, 1);
  yield* chosen;
  for (const point of points) if (!chosen.includes(point) && struck() === 0) yield point;
}

describe("kill -9 at a system call of", () => {
  it.each(HISTORY_VERBS)(
    "%s: done or undone, nothing left over, and again does it",
    { timeout: TEST_MS },
    async (title) => {
      const { prepare, act, undone, done, layers: count, repeats } = verbs[title];
      const { lagand } = machine;
      if (!lagand.running) await lagand.start({ config: POOL, env: COUNTABLE });
      await node.wipe();
      await prepare();
      expect(await node.tell()).toBe(undone);
      const held = await holdings();
      const points = await findCrashPoints(machine, act);
      expect(await node.tell()).toBe(done);
      let struck = 0;
      for (const point of inTurn(points, () => struck)) {
        const context = `${title}, killed at ${point.call} ${point.nth}`;
        await node.wipe();
        await prepare();
        const end = await strike(machine, point, act);
        if (end.struck) struck++;
        await lagand.start();
        const found = await node.tell();
        expect(end.acknowledged ? [done] : [undone, done], context).toContain(found);
        expect(await layers(), context).toBe(count[found === done ? "done" : "undone"]);
        expect(await node.faults(), context).toEqual([]);
        if (found !== done || repeats) await act();
        expect(await node.tell(), context).toBe(done);
        expect(await layers(), context).toBe(count.done);
        expect(await node.faults(), context).toEqual([]);
        expect(await holdings(), context).toEqual(held);
      }
      process.stdout.write(`  ${title}: killed at ${struck} of ${points.length} points\n`);
      expect(struck).toBeGreaterThan(0);
    },
  );

  it("a start that removes what has expired: the next one carries on, and nothing else is gone", {
    timeout: TEST_MS,
  }, async () => {
    const { lagand } = machine;
    const expiring = { config: `${POOL}trash: { keep: 1s }\n`, env: COUNTABLE };
    const expired = async () => {
      await lagand.ready();
      // Out of sight at once; the operation runs until the bytes are gone.
      await eventually(
        "it is gone",
        async () => (await node.tell()) === "data 16M new" && (await node.faults()).length === 0,
      );
    };
    const prepare = async () => {
      await lagand.kill();
      await lagand.start(expiring);
      await node.wipe();
      await verbs["trash rm of a snapshot"].prepare();
      await node.rest("POST", "/v1/volumes", { name: "other", options: {} });
      await node.rest("POST", "/v1/volumes/other/snapshots", {});
      await node.rest("DELETE", "/v1/volumes/other");
      await lagand.kill();
      const { promise, resolve } = Promise.withResolvers<void>();
      setTimeout(resolve, 1_000);
      await promise;
      await lagand.launch({ ...expiring, prefix: HELD_BACK });
      await eventually("it stands still", async () =>
        /^State:\tT/m.test(await readFile(`/proc/${lagand.pid}/status`, "utf8")),
      );
    };
    const act = async () => {
      lagand.resume();
      await expired();
    };
    await prepare();
    const points = await findCrashPoints(machine, act);
    let struck = 0;
    for (const point of inTurn(points, () => struck)) {
      const context = `killed at ${point.call} ${point.nth}`;
      await prepare();
      const end = await strike(machine, point, act);
      if (end.struck) struck++;
      await lagand.start(expiring);
      await expired();
      expect(await layers(), context).toBe(1);
      expect(await node.faults(), context).toEqual([]);
    }
    process.stdout.write(`  expiry: killed at ${struck} of ${points.length} points\n`);
    expect(struck).toBeGreaterThan(0);
  });
});
