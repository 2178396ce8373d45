import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { eventually } from "./command.ts";
import { countRecords, Database } from "./database.ts";
import { loadBusybox } from "./images.ts";
import { BTRFS_POOL } from "./lagand.ts";
import { Machine } from "./machine.ts";
import { NodeTeller } from "./node-teller.ts";
import { COUNTABLE, findCrashPoints, sampled, strike } from "./struck-lagand.ts";

/* The daemon is killed in the middle of `lagan restore --stop`, at its n-th system call that has an effect. */

const TEST_MS = process.env["LAGAN_CRASH_POINTS"] === "all" ? 3_600_000 : 300_000;

it("kill -9 in a restore that stops a database: the next daemon starts it again, on what was or on what is restored", {
  timeout: TEST_MS,
}, async () => {
  await using host = await Machine.create();
  const { lagand } = host;
  await lagand.start({ config: BTRFS_POOL, env: COUNTABLE });
  await host.engine.start();
  await loadBusybox(host);
  const node = new NodeTeller(host);
  const database = await Database.begin(host);
  await database.writes(10);
  const least = database.acknowledged;
  await node.rest("POST", "/v1/volumes/data/snapshots", { name: "before" });
  // The record under way may be in it.
  const most = database.acknowledged + 1;
  const log = `${await node.directory("data")}/log`;
  await node.leave("data");
  expect(countRecords(await readFile(log, "utf8"))).toBeGreaterThanOrEqual(least);
  const restore = () =>
    node.rest("POST", "/v1/volumes/data/restore", { snapshot: "before", stop: true });
  const runs = () =>
    eventually(
      "the database runs",
      async () => (await host.mustDocker("inspect", "-f", "{{.State.Running}}", "db")) === "true",
      { timeoutMs: 90_000 },
    );

  await database.writes(10);
  const points = await findCrashPoints(host, restore);
  await runs();
  let struck = 0;
  const outcomes = { restored: 0, unchanged: 0 };
  // The store's last writes come after the new content is there.
  const late = points.filter(({ call }) => call === "pwrite64").slice(-6, -4);
  for (const point of new Set([...sampled(points, 3), ...late])) {
    const context = `killed at ${point.call} ${point.nth}`;
    await database.writes(most - least + 10);
    const starts = database.starts.length;
    const before = database.acknowledged;
    const end = await strike(host, point, restore);
    if (end.struck) struck++;
    await lagand.start();
    await runs();
    await database.writes(1);
    const stopped = database.starts.length > starts;
    const found = stopped ? (database.starts[starts] ?? -1) : before;
    const restored = found < before;
    outcomes[restored ? "restored" : "unchanged"]++;
    if (restored) {
      expect(found, context).toBeGreaterThanOrEqual(least);
      expect(found, context).toBeLessThanOrEqual(most);
    } else expect(end.acknowledged, context).toBe(false);
    const now = `${await node.directory("data")}/log`;
    expect(countRecords(await readFile(now, "utf8")), context).toBeGreaterThanOrEqual(found + 1);
    await node.leave("data");
    expect(await node.faults(), context).toEqual([]);
  }
  process.stdout.write(
    `  restore --stop: killed at ${struck} of ${points.length} points; ${JSON.stringify(outcomes)}\n`,
  );
  expect(struck).toBeGreaterThan(0);
});
