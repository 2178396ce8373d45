import { readdir, readFile, writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "./command.ts";
import { BTRFS_POOL, DIRECTORY_POOL } from "./lagand.ts";
import { findLoops } from "./leftovers.ts";
import { Machine } from "./machine.ts";
import { COUNTABLE, findCrashPoints, HELD_BACK, sampled, strike } from "./struck-lagand.ts";
import { call } from "./unix-http.ts";

/*
 * A lagand as it is installed, killed by the kernel at the n-th system call that has an effect. LAGAN_CRASH_POINTS=all
 * takes every one; otherwise some of each verb, so that the whole takes a minute.
 */

const TEST_MS = process.env["LAGAN_CRASH_POINTS"] === "all" ? 3_600_000 : 300_000;

let machine: Machine;
beforeEach(async () => {
  machine = await Machine.create();
});
afterEach(() => machine[Symbol.asyncDispose]());

/** A REST call that must succeed, or fail with one of the statuses that are as good. */
async function rest(method: string, path: string, body?: object, asGood: readonly number[] = []) {
  const answer = await call({
    ...{ socketPath: machine.lagand.socketPath, method, path, timeoutMs: 60_000 },
    ...(body && {
      body: JSON.stringify(body),
      headers: { "content-type": "application/json" },
    }),
  });
  if (answer.status >= 300 && !asGood.includes(answer.status)) {
    throw new Error(`${method} ${path}: ${answer.status} ${answer.body}`);
  }
  return answer;
}

interface Verb {
  readonly verb: string;
  /** Brings the world to where the verb can be called for volume `name`. */
  readonly prepare: (name: string) => Promise<unknown>;
  readonly act: (name: string) => Promise<unknown>;
  /** The same once more, when nobody knows whether it was done. */
  readonly again: (name: string) => Promise<unknown>;
  /** Where the volume is found before and after: its name among the volumes or in the trash. */
  readonly was: (name: string) => string | null;
  readonly becomes: (name: string) => string | null;
}

const create = (name: string) => rest("POST", "/v1/volumes", { name, options: { mode: "0700" } });
const remove = (name: string) => rest("DELETE", `/v1/volumes/${name}`);
const VERBS: readonly Verb[] = [
  {
    verb: "create",
    prepare: async () => undefined,
    act: create,
    again: create,
    was: () => null,
    becomes: (name) => `volume ${name}`,
  },
  {
    verb: "rename",
    prepare: create,
    act: (name) => rest("PATCH", `/v1/volumes/${name}`, { name: `${name}-new` }),
    again: (name) => rest("PATCH", `/v1/volumes/${name}`, { name: `${name}-new` }, [404]),
    was: (name) => `volume ${name}`,
    becomes: (name) => `volume ${name}-new`,
  },
  {
    verb: "remove",
    prepare: create,
    act: remove,
    again: (name) => rest("DELETE", `/v1/volumes/${name}`, undefined, [404]),
    was: (name) => `volume ${name}`,
    becomes: (name) => `trash ${name}`,
  },
  {
    verb: "restore from the trash",
    prepare: async (name) => {
      await create(name);
      await remove(name);
    },
    act: (name) => rest("POST", `/v1/trash/${name}/restore`, {}),
    again: (name) => rest("POST", `/v1/trash/${name}/restore`, {}, [404]),
    was: (name) => `trash ${name}`,
    becomes: (name) => `volume ${name}`,
  },
  {
    verb: "purge",
    prepare: async (name) => {
      await create(name);
      await remove(name);
    },
    act: (name) => rest("DELETE", `/v1/trash/${name}`),
    again: (name) => rest("DELETE", `/v1/trash/${name}`, undefined, [404]),
    was: (name) => `trash ${name}`,
    becomes: () => null,
  },
];

/** Where volumes are, each as `volume NAME` or `trash NAME`. */
async function places(): Promise<readonly string[]> {
  const list = async (path: string, word: string): Promise<readonly string[]> => {
    const page = (await machine.lagand.get(`${path}?page_size=500`)) as {
      items: { name: string }[];
    };
    return page.items.map(({ name }) => `${word} ${name}`);
  };
  return [...(await list("/v1/volumes", "volume")), ...(await list("/v1/trash", "trash"))].sort();
}

/** What must hold after every start, whatever came before: nothing half, nothing lost, nothing left over. */
async function expectWhole(layersRoot: string, context: string): Promise<void> {
  const { findings } = (await machine.lagand.get("/v1/doctor")) as {
    findings: { level: string; saw: string }[];
  };
  const wrong = findings.filter(
    ({ level, saw }) => level === "error" || /no volume|lost|not finished/.test(saw),
  );
  expect(wrong, context).toEqual([]);
  const { runningOperations } = (await machine.lagand.get("/v1/status")) as {
    runningOperations: number;
  };
  expect(runningOperations, context).toBe(0);
  const root = machine.namespace.inside(machine.path(layersRoot));
  expect(await readdir(`${root}/tmp`), context).toEqual([]);
  expect(await readdir(`${root}/layers`), context).toHaveLength((await places()).length);
}

async function holdings(): Promise<{ loops: number; mounts: number }> {
  const { stdout } = await machine.run(["cat", "/proc/self/mountinfo"]);
  const mounts = stdout.split("\n").filter((line) => line.includes(machine.path("state")));
  return { loops: findLoops(machine.namespace.name).length, mounts: mounts.length };
}

function tell(what: string, struck: number, all: number): void {
  process.stdout.write(`  ${what}: killed at ${struck} of ${all} points\n`);
}

const POOLS = [
  { driver: "btrfs", config: BTRFS_POOL, root: "state/pools/default/mnt", perVerb: 2 },
  { driver: "directory", config: DIRECTORY_POOL, root: "state/pools/default", perVerb: 1 },
] as const;

describe.each(POOLS)(
  "kill -9 on driver $driver at a system call of",
  ({ config, root, perVerb, driver }) => {
    it.each(VERBS)(
      "$verb: done or undone, nothing left over, and again is success",
      { timeout: TEST_MS },
      async ({ verb, prepare, act, again, was, becomes }) => {
        const { lagand } = machine;
        await lagand.start({ config, env: COUNTABLE });
        // One that is never touched, with a text in it.
        await create("kept");
        const [layer = ""] = await readdir(
          `${machine.namespace.inside(machine.path(root))}/layers`,
        );
        const text = `${machine.path(root)}/layers/${layer}/_data/text`;
        const inside = () => machine.namespace.inside(text);
        await writeFile(inside(), "kept");
        const held = await holdings();
        await prepare("v0");
        const points = await findCrashPoints(machine, () => act("v0"));
        expect(points.length).toBeGreaterThan(0);
        let struck = 0;
        const expected = new Set(["volume kept", becomes("v0")].filter((place) => place !== null));
        const chosen = sampled(points, perVerb);
        // A call that a second run does not come to strikes nothing: then others are tried.
        const spare = points.filter((point) => !chosen.includes(point));
        for (const [index, point] of [...chosen, ...spare].entries()) {
          if (index >= chosen.length && struck > 0) break;
          const name = `v${index + 1}`;
          const context = `${verb}, killed at ${point.call} ${point.nth}`;
          await prepare(name);
          const end = await strike(machine, point, () => act(name));
          if (end.struck) struck++;
          await lagand.start();
          const found = await places();
          const others = [...expected].sort();
          const states = [was(name), becomes(name)].map((place) =>
            [...others, ...(place === null ? [] : [place])].sort(),
          );
          expect(end.acknowledged ? [states[1]] : states, context).toContainEqual(found);
          await expectWhole(root, context);
          await again(name);
          const place = becomes(name);
          if (place !== null) expected.add(place);
          expect(await places(), context).toEqual([...expected].sort());
          await expectWhole(root, context);
          expect(await holdings(), context).toEqual(held);
          expect(await readFile(inside(), "utf8"), context).toBe("kept");
        }
        tell(`${driver}, ${verb}`, struck, points.length);
        expect(struck).toBeGreaterThan(0);
      },
    );
  },
);

it("kill -9 at a system call of the first start, while the pool is made: the next start makes or finishes it", {
  timeout: TEST_MS,
}, async () => {
  await heldBack();
  const points = await findCrashPoints(machine, firstStart);
  let struck = 0;
  for (const point of sampled(points, 3)) {
    await machine[Symbol.asyncDispose]();
    machine = await Machine.create();
    await heldBack();
    const end = await strike(machine, point, firstStart);
    if (end.struck) struck++;
    await machine.lagand.start({ config: BTRFS_POOL, env: COUNTABLE });
    const context = `killed at ${point.call} ${point.nth}`;
    await create("made");
    expect(await places(), context).toEqual(["volume made"]);
    await expectWhole("state/pools/default/mnt", context);
    expect(await holdings(), context).toEqual({ loops: 1, mounts: 1 });
  }
  tell("btrfs, first start", struck, points.length);
  expect(struck).toBeGreaterThan(0);
});

/** A lagand that waits for {@link firstStart}. */
async function heldBack(): Promise<void> {
  const { lagand } = machine;
  await lagand.launch({ config: BTRFS_POOL, env: COUNTABLE, prefix: HELD_BACK });
  await eventually("it stands still", async () =>
    /^State:\tT/m.test(await readFile(`/proc/${lagand.pid}/status`, "utf8")),
  );
}

async function firstStart(): Promise<void> {
  machine.lagand.resume();
  await machine.lagand.ready();
  await create("made");
}
