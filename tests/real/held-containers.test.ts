import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { eventually } from "./command.ts";
import type { HeldCall } from "./held-lagand.ts";
import { loadBusybox } from "./images.ts";
import { BTRFS_POOL, Lagand } from "./lagand.ts";
import { Machine } from "./machine.ts";
import { removeContainers } from "./recorded-machine.ts";
import { call } from "./unix-http.ts";

/*
 * Containers of a real engine that are paused or stopped around a snapshot or a restore. While the engine stops and starts them
 * it calls the very daemon that asked it to.
 */

let host: Machine;
let lagand: Lagand;

beforeAll(async () => {
  host = await Machine.create();
  lagand = new Lagand(host.namespace, {
    entry: join(import.meta.dirname, "held-lagand.ts"),
    engineAddress: host.engine.address,
  });
  await lagand.start({ config: BTRFS_POOL });
  await host.engine.start();
  await loadBusybox(host);
});
afterAll(async () => {
  await lagand.close();
  await host[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await removeContainers(host);
});

async function ask<T>(body: HeldCall): Promise<T> {
  const answer = await call({
    socketPath: lagand.socketPath,
    path: "/test",
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    timeoutMs: 60_000,
  });
  if (answer.status !== 200) throw new Error(answer.body);
  return JSON.parse(answer.body) as T;
}

interface Taken {
  readonly value: { readonly id: string; readonly consistency: string };
  readonly containers: readonly string[];
  readonly faults: readonly string[];
}

/** A container that adds lines to a log in its volume without a pause. */
async function write(name: string, ...args: readonly string[]): Promise<void> {
  const loop = "while :; do i=$((i+1)); echo line $i >>/v/log; usleep 10000; done";
  await host.mustDocker(
    ...["run", "-d", "--network=none", "--stop-signal=KILL", "--volume-driver=lagan"],
    ...["--name", name, ...args, "busybox", "sh", "-c", loop],
  );
}

async function logOf(volume: string): Promise<number> {
  const directory = await host.mustDocker("volume", "inspect", "-f", "{{.Mountpoint}}", volume);
  const path = host.namespace.inside(`${directory}/log`);
  return existsSync(path) ? readFileSync(path, "utf8").split("\n").length : 0;
}

async function goesOn(volume: string): Promise<void> {
  const before = await logOf(volume);
  await eventually("it goes on", async () => (await logOf(volume)) > before + 3);
}

async function standsStill(volume: string): Promise<void> {
  const before = await logOf(volume);
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(await logOf(volume)).toBe(before);
}

function stateOf(name: string): Promise<string> {
  return host.mustDocker("inspect", "-f", "{{.State.Status}}", name);
}

function isState(name: string, state: string): Promise<true> {
  return eventually(`${name} is ${state}`, async () => (await stateOf(name)) === state);
}

function startedAt(name: string): Promise<string> {
  return host.mustDocker("inspect", "-f", "{{.State.StartedAt}}", name);
}

describe("a snapshot", () => {
  it("of what is paused meanwhile leaves its containers running, and was of when nobody wrote", async () => {
    await write("writer", "-v", "paused:/v");
    await goesOn("paused");
    const taken = await ask<Taken>({ verb: "snapshot", volume: "paused", how: "pause" });
    expect(taken).toMatchObject({
      ...{ containers: ["writer"], faults: [], value: { consistency: "paused" } },
    });
    await goesOn("paused");
  });

  it("of what is stopped meanwhile starts them again, the one started first first", async () => {
    await write("first", "-v", "stopped:/v", "--restart=always");
    await write("second", "-v", "stopped:/w", "-v", "other:/v");
    await host.mustDocker("create", "--name", "idle", "-v", "stopped:/v", "busybox", "true");
    await goesOn("stopped");
    const before = await startedAt("first");
    const taken = await ask<Taken>({ verb: "snapshot", volume: "stopped", how: "stop" });
    expect(taken).toMatchObject({ containers: ["first", "second"], faults: [] });
    expect(Date.parse(await startedAt("first"))).toBeGreaterThan(Date.parse(before));
    expect(Date.parse(await startedAt("first"))).toBeLessThan(
      Date.parse(await startedAt("second")),
    );
    expect(await stateOf("idle")).toBe("created");
    await goesOn("stopped");
    await goesOn("other");
  });

  it("waits for its containers' hooks, and a container that is paused by hand stays so", async () => {
    await write("still", "-v", "mixed:/v");
    await write("awake", "-v", "mixed:/w", "--label", "lagan.snapshot.pre=echo pre >>/w/hooks");
    await host.mustDocker("pause", "still");
    await ask<Taken>({ verb: "snapshot", volume: "mixed", how: "pause" });
    expect([await stateOf("still"), await stateOf("awake")]).toEqual(["paused", "running"]);
    expect(await host.mustDocker("exec", "awake", "cat", "/w/hooks")).toBe("pre");
    await host.mustDocker("unpause", "still");
  });
});

it("a restore stops the containers, brings back what was, and starts them on it", async () => {
  await write("db", "-v", "back:/v");
  await goesOn("back");
  const taken = await ask<Taken>({ verb: "snapshot", volume: "back" });
  await host.mustDocker("exec", "db", "touch", "/v/later");
  const restored = await ask<Taken>({
    ...{ verb: "restore", volume: "back", at: taken.value.id, how: "stop" },
  });
  expect(restored).toMatchObject({ containers: ["db"], faults: [] });
  const { code } = await host.docker("exec", "db", "ls", "/v/later");
  expect(code).not.toBe(0);
  await goesOn("back");
});

describe("a daemon that is killed in the middle", () => {
  it("leaves nothing paused for longer than until it is back", async () => {
    await write("writer", "-v", "cutpause:/v");
    await goesOn("cutpause");
    const held = ask({ verb: "hold", volume: "cutpause", how: "pause" }).catch(() => undefined);
    await isState("writer", "paused");
    await standsStill("cutpause");
    await lagand.kill();
    await held;
    expect(await stateOf("writer")).toBe("paused");
    await lagand.start();
    await isState("writer", "running");
    await goesOn("cutpause");
  });

  it("leaves nothing stopped: the next one starts it, and it mounts its volume there", async () => {
    await write("one", "-v", "cutstop:/v");
    await write("two", "-v", "cutstop:/w", "-v", "own:/v");
    await host.mustDocker("create", "--name", "idle", "-v", "cutstop:/v", "busybox", "true");
    const held = ask({ verb: "hold", volume: "cutstop", how: "stop" }).catch(() => undefined);
    await isState("one", "exited");
    await isState("two", "exited");
    await lagand.kill();
    await held;
    await lagand.start();
    await isState("one", "running");
    await isState("two", "running");
    expect(await stateOf("idle")).toBe("created");
    await goesOn("cutstop");
  });
});

describe("what cannot be put back or stopped", () => {
  // It is tried again once a minute.
  it("is told, and tried again: a container whose other mount is gone", {
    timeout: 150_000,
  }, async () => {
    const path = host.namespace.inside("/run/passing");
    await host.run(["mkdir", "-p", "/run/passing"]);
    await write("stuck", "-v", "stuckv:/v", "--mount", "type=bind,src=/run/passing,dst=/p");
    const held = ask({ verb: "hold", volume: "stuckv", how: "stop" }).catch(() => undefined);
    await isState("stuck", "exited");
    await host.run(["rmdir", "/run/passing"]);
    expect(existsSync(path)).toBe(false);
    await lagand.kill();
    await held;
    await lagand.start();
    await eventually("told", async () =>
      (await host.mustLagan("events")).includes("Cannot start container stuck again"),
    );
    await host.run(["mkdir", "-p", "/run/passing"]);
    await eventually(
      "started at the next try",
      async () => (await stateOf("stuck")) === "running",
      {
        timeoutMs: 90_000,
      },
    );
  });

  it("refuses the whole: a container that is removed when it stops", async () => {
    await write("once", "--rm", "-v", "oncev:/v");
    const refused = ask({ verb: "snapshot", volume: "oncev", how: "stop" });
    await expect(refused).rejects.toThrow(/container once was started with --rm/);
    expect(await stateOf("once")).toBe("running");
  });
});
