import { existsSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { eventually } from "./command.ts";
import { BTRFS_POOL } from "./lagand.ts";
import type { Machine } from "./machine.ts";
import { type RecordedMachine, startRecordedMachine } from "./recorded-machine.ts";

/*
 * Scheduled snapshots of a real daemon with the hooks of real containers around them. Schedules have whole minutes, so
 * these wait for one; they do it together.
 */

vi.setConfig({ maxConcurrency: 8, testTimeout: 300_000 });

const MINUTE_MS = 60_000;
/** A minute, and what a busy machine takes. */
const BY_THEN = { timeoutMs: 200_000, everyMs: 200 };

let machine: RecordedMachine;
let host: Machine;

beforeAll(async () => {
  machine = await startRecordedMachine({ config: BTRFS_POOL });
  host = machine.host;
});
afterAll(async () => {
  await machine[Symbol.asyncDispose]();
});

/** Hooks as labels. */
interface Labels {
  readonly pre: string;
  readonly post: string;
  readonly timeout?: string;
}

/** A container that writes to its volume without a pause, a snapshot of which is due each minute. */
async function writer(on: Machine, volume: string, labels: Labels): Promise<void> {
  // So that the container runs before the first one is due.
  while (Date.now() % MINUTE_MS > 45_000) await sleep(500);
  await on.mustDocker("volume", "create", "-d", "lagan", "-o", "schedule=1m", volume);
  const loop = "while :; do i=$((i+1)); echo line $i >>/v/log; usleep 50000; done";
  await on.mustDocker(
    ...["run", "-d", "--network=none", "--stop-signal=KILL", "--name", volume],
    ...Object.entries(labels).flatMap(([name, value]) => [
      "--label",
      `lagan.snapshot.${name}=${value}`,
    ]),
    ...["-v", `${volume}:/v`, "busybox", "sh", "-c", loop],
  );
}

interface EventLine {
  readonly type: string;
  readonly subject: string;
  readonly message: string;
}

async function events(on: Machine, subject: string, type: string): Promise<readonly EventLine[]> {
  const text = await on.mustLagan("events", "--json");
  const all: EventLine[] = text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
  return all.filter((event) => event.subject === subject && event.type === type);
}

async function fileIn(on: Machine, volume: string, name: string): Promise<string> {
  const directory = await on.mustDocker("volume", "inspect", "-f", "{{.Mountpoint}}", volume);
  const path = on.namespace.inside(`${directory}/${name}`);
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

it.concurrent("hooks run around each snapshot, in the container", async () => {
  await writer(host, "good", {
    pre: '["sh", "-c", "echo pre >>/v/hooks"]',
    post: "echo post >>/v/hooks",
  });
  await eventually(
    "a snapshot",
    async () => {
      return (await events(host, "good", "snapshot.created")).length > 0;
    },
    BY_THEN,
  );
  const lines = (await fileIn(host, "good", "hooks")).trim().split("\n");
  expect(lines.length).toBeGreaterThanOrEqual(2);
  expect(lines).toEqual(lines.map((_, index) => (index % 2 === 0 ? "pre" : "post")));
});

it.concurrent("a pre-hook that fails means no snapshot, and its post-hook runs", async () => {
  await writer(host, "bad", { pre: "echo no room >&2; exit 3", post: "echo post >>/v/hooks" });
  const [failed] = await eventually(
    "told",
    async () => {
      const found = await events(host, "bad", "schedule.failed");
      return found.length > 0 && found;
    },
    BY_THEN,
  );
  expect(failed?.message).toMatch(/pre-hook of container bad failed with 3: no room/);
  expect(await fileIn(host, "bad", "hooks")).toMatch(/^post\n/);
  expect(await events(host, "bad", "snapshot.created")).toEqual([]);
});

it.concurrent("a pre-hook that hangs is ended, and means no snapshot", async () => {
  await writer(host, "late", { pre: "exec sleep 4711", post: "touch /v/hooks", timeout: "1s" });
  const [failed] = await eventually(
    "told",
    async () => {
      const found = await events(host, "late", "schedule.failed");
      return found.length > 0 && found;
    },
    BY_THEN,
  );
  expect(failed?.message).toMatch(/pre-hook of container late took longer than 1 s/);
  await eventually("it is gone", async () => {
    return !(await host.mustDocker("exec", "late", "ps")).includes("sleep 4711");
  });
  expect(await events(host, "late", "snapshot.created")).toEqual([]);
});

it.concurrent("a daemon killed in the middle of a pre-hook runs the post-hook when it is back", async () => {
  await using other = await startRecordedMachine({ config: BTRFS_POOL });
  const { host: own } = other;
  await writer(own, "cut", {
    pre: "touch /v/begun; sleep 60",
    post: "touch /v/ended",
    timeout: "2m",
  });
  const has = async (name: string) =>
    (await own.docker("exec", "cut", "ls", `/v/${name}`)).code === 0;
  await eventually("the hook has begun", () => has("begun"), BY_THEN);
  await own.lagand.kill();
  expect(await has("ended")).toBe(false);
  await own.lagand.start();
  await eventually("the post-hook has run", () => has("ended"), BY_THEN);
});
