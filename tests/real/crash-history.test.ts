import { readdir, readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually } from "./command.ts";
import { findLoops } from "./leftovers.ts";
import { Machine } from "./machine.ts";
import { contentOf, NodeTeller } from "./node-teller.ts";
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
const LIMITED = { size: "16M" };
const POOL = "pools:\n  default:\n    driver: btrfs\n    size: 512M\n";
const HOME = "state/pools/default/mnt";

interface Verb {
  readonly prepare: () => Promise<unknown>;
  readonly act: () => Promise<unknown>;
  /** What {@link NodeTeller.tell} says. */
  readonly undone: string;
  readonly done: string;
  /** The layers of the pool, those of `kept` not counted. */
  readonly layers: { readonly undone: number; readonly done: number };
  /** Statuses that are as good when it is asked for again. Absent: again would do it a second time. */
  readonly again?: readonly number[];
}

let machine: Machine;
let node: NodeTeller;
beforeAll(async () => {
  machine = await Machine.create();
  node = new NodeTeller(machine);
});
afterAll(() => machine[Symbol.asyncDispose]());

const DATA = "/v1/volumes/data";

/** Volume `data` with one snapshot, `before`, that holds "old"; since then "new" was written. */
async function withSnapshot(): Promise<void> {
  await withVolume();
  await take();
  await node.write("data", "new");
}

async function withVolume(): Promise<void> {
  await node.rest("POST", "/v1/volumes", { name: "data", options: LIMITED });
  await node.write("data", "old");
}

function take(asGood: readonly number[] = []) {
  return node.rest("POST", `${DATA}/snapshots`, { name: "before" }, asGood);
}

async function withTrashed(): Promise<void> {
  await withSnapshot();
  await node.rest("DELETE", `${DATA}/snapshots/before`);
}

/** A tar with the file that "old" stands for. */
async function archive(): Promise<string> {
  const directory = machine.path("archive");
  await machine.run(["mkdir", "-p", directory]);
  const script = `cat >${directory}/file && tar -C ${directory} -cf ${directory}.tar ./file`;
  await machine.run(["sh", "-c", script], { input: contentOf("old") });
  return readFile(`${directory}.tar`, "latin1");
}

const WITH_SNAPSHOT = "data 16M new [before old]";
const VERBS: Readonly<Record<string, Verb>> = {
  "snapshot create": {
    prepare: withVolume,
    act: () => take([409]),
    undone: "data 16M old",
    done: "data 16M old [before old]",
    layers: { undone: 1, done: 2 },
    again: [409],
  },
  "snapshot rm": {
    prepare: withSnapshot,
    act: () => node.rest("DELETE", `${DATA}/snapshots/before`, undefined, [404]),
    undone: WITH_SNAPSHOT,
    done: "data 16M new (before)",
    layers: { undone: 2, done: 2 },
    again: [404],
  },
  "trash rm of a snapshot": {
    prepare: withTrashed,
    act: () => node.rest("DELETE", "/v1/trash-snapshots/data@before", undefined, [404]),
    undone: "data 16M new (before)",
    done: "data 16M new",
    layers: { undone: 2, done: 1 },
    again: [404],
  },
  restore: {
    prepare: withSnapshot,
    act: () => node.rest("POST", `${DATA}/restore`, { snapshot: "before" }),
    undone: WITH_SNAPSHOT,
    done: "data 16M old [before old] [restore new]",
    layers: { undone: 2, done: 3 },
  },
  "clone of a snapshot": {
    prepare: withSnapshot,
    act: () => node.rest("POST", "/v1/volumes", { name: "copy", options: { from: "data@before" } }),
    undone: WITH_SNAPSHOT,
    done: `copy 16M old; ${WITH_SNAPSHOT}`,
    layers: { undone: 2, done: 3 },
    again: [],
  },
  "clone of what is there now": {
    prepare: withVolume,
    act: () => node.rest("POST", "/v1/volumes", { name: "copy", options: { from: "data" } }),
    undone: "data 16M old",
    done: "copy 16M old; data 16M old [clone old]",
    layers: { undone: 1, done: 3 },
    again: [],
  },
  "branch create": {
    prepare: withSnapshot,
    act: () => node.rest("POST", `${DATA}/branches`, { name: "dev", from: "data@before" }),
    undone: WITH_SNAPSHOT,
    done: `${WITH_SNAPSHOT}; data@dev 16M old`,
    layers: { undone: 2, done: 3 },
    again: [],
  },
  resize: {
    prepare: withSnapshot,
    act: () => node.rest("PATCH", DATA, { sizeBytes: 32 * 1024 ** 2 }),
    undone: WITH_SNAPSHOT,
    done: "data 32M new [before old]",
    layers: { undone: 2, done: 2 },
    again: [],
  },
  import: {
    prepare: withVolume,
    act: async () => node.rest("POST", "/v1/volumes/copy/import", await archive(), [409]),
    undone: "data 16M old",
    done: "copy old; data 16M old",
    layers: { undone: 1, done: 2 },
    again: [409],
  },
  "trash empty": {
    prepare: async () => {
      await withTrashed();
      await take();
      await node.rest("DELETE", DATA);
    },
    act: () => node.rest("DELETE", "/v1/trash"),
    undone: "trashed data",
    done: "",
    layers: { undone: 3, done: 0 },
    again: [],
  },
};

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
  it.each(Object.keys(VERBS))(
    "%s: done or undone, nothing left over, and again does it",
    { timeout: TEST_MS },
    async (title) => {
      const { prepare, act, undone, done, layers: count, again } = VERBS[title] as Verb;
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
        if (found !== done || again !== undefined) await act();
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
      await eventually("it is gone", async () => (await node.tell()) === "data 16M new");
    };
    const prepare = async () => {
      await lagand.kill();
      await lagand.start(expiring);
      await node.wipe();
      await withTrashed();
      await node.rest("POST", "/v1/volumes", { name: "other", options: LIMITED });
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
