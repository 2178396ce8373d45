import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { Background } from "./background.ts";
import { eventually, mustRun } from "./command.ts";
import { loadBusybox, SEEDED_TEXT } from "./images.ts";
import { findProcesses, listLeftovers } from "./leftovers.ts";
import { Machine } from "./machine.ts";
import { endNamespace, PLUGIN_DIRECTORY } from "./namespace.ts";
import { Recorder } from "./recorder.ts";
import { call } from "./unix-http.ts";

async function machine(): Promise<Machine> {
  const made = await Machine.create();
  onTestFinished(() => made[Symbol.asyncDispose]());
  return made;
}

it("runs containers on an engine of its own and leaves nothing behind", async () => {
  const host = await machine();
  await host.engine.start();
  await loadBusybox(host);
  expect(
    await host.mustDocker("run", "--rm", "--network=none", "seeded", "cat", "/data/link"),
  ).toBe(SEEDED_TEXT.trim());
  for (const name of ["running", "paused"]) {
    await host.mustDocker(
      "run",
      "-d",
      "--network=none",
      "--name",
      name,
      "busybox",
      "sleep",
      "9999",
    );
  }
  await host.mustDocker("pause", "paused");
  expect(await host.mustDocker("ps", "-aq")).not.toBe("");
  expect(host.leftovers().join("\n")).toMatch(
    /process .*containerd-shim[\s\S]*cgroup [\s\S]*directory /,
  );
  await host.close();
  expect(host.leftovers()).toEqual([]);
});

it("sees its containers and loop devices after a crash of the engine, and ends them", async () => {
  const host = await machine();
  await host.engine.start({ liveRestore: true });
  await loadBusybox(host);
  await host.mustDocker("run", "-d", "--network=none", "busybox", "sleep", "4242");
  await host.engine.kill();
  await host.run(["truncate", "-s", "16M", host.path("pool.img")]);
  const device = await mustRun(["losetup", "-f", "--show", host.path("pool.img")]);
  expect(host.leftovers()).toContainEqual(expect.stringMatching(/^process \d+: sleep 4242$/));
  expect(host.leftovers()).toContain(`loop device ${device}`);
  await host.close();
  expect(host.leftovers()).toEqual([]);
});

it("restarts the engine in order and after a crash, and live-restore keeps containers", async () => {
  const host = await machine();
  await host.engine.start({ liveRestore: true });
  await loadBusybox(host);
  const id = await host.mustDocker(
    "run",
    "-d",
    "--network=none",
    "--stop-signal=KILL",
    "busybox",
    "sleep",
    "9999",
  );
  await host.engine.crash();
  await host.engine.restart();
  expect(await host.mustDocker("inspect", "-f", "{{.State.Running}}", id)).toBe("true");
  await host.engine.restart({ liveRestore: false });
  await host.engine.restart();
  expect(await host.mustDocker("inspect", "-f", "{{.State.Running}}", id)).toBe("false");
});

it("has plugin directories that another machine does not see", async () => {
  const [one, other] = [await machine(), await machine()];
  await using plugin = new Recorder({
    listenPath: one.namespace.inside(`${PLUGIN_DIRECTORY}/lagan.sock`),
    targetPath: "/nowhere",
  });
  await plugin.appear();
  const list = async (host: Machine) => (await host.run(["ls", PLUGIN_DIRECTORY])).stdout;
  expect(await list(one)).toBe("lagan.sock\n");
  expect(await list(other)).toBe("");
  expect(existsSync(`${PLUGIN_DIRECTORY}/lagan.sock`)).toBe(false);
});

it("records what an engine calls, and plays tricks", async () => {
  const host = await machine();
  await using plugin = new Recorder({
    listenPath: host.namespace.inside(`${PLUGIN_DIRECTORY}/toy.sock`),
    targetPath: "/nowhere",
  });
  const answers = {
    Activate: { Implements: ["VolumeDriver"] },
    Capabilities: { Capabilities: { Scope: "local" } },
    Get: { Err: "no such volume" },
    Create: { Err: "" },
  };
  for (const [endpoint, answer] of Object.entries(answers)) {
    plugin.always(endpoint, { do: "answer", status: 200, body: JSON.stringify(answer) });
  }
  await plugin.appear();
  await host.engine.start();
  const { sequence, calls } = await plugin.during(
    () => host.mustDocker("volume", "create", "-d", "toy", "-o", "a=b", "data"),
    "A K G C",
  );
  expect(sequence).toBe("A K G C");
  expect(calls.at(-1)?.request).toEqual({ Name: "data", Opts: { a: "b" } });
  plugin.behave();
  plugin.always("Get", { do: "answer", status: 500, body: '{"Err":"down"}' });
  plugin.once("Create", { do: "drop" });
  plugin.once("Create", { do: "answer", status: 500, body: '{"Err":"full"}' });
  const refused = await plugin.during(
    () => host.docker("volume", "create", "-d", "toy", "other"),
    "G C C",
  );
  expect(refused.sequence).toBe("G C C");
  expect(refused.calls.map(({ status }) => status)).toEqual([500, 0, 500]);
  // The trap of a repeated call: the engine has lost its body.
  expect(refused.calls[2]?.requestText).toBe("");
});

it("holds a socket without answering until a process takes it over", async () => {
  const host = await machine();
  const held = host.lagand.hold();
  const waiting = call({ socketPath: held.path, path: "/" });
  const server = "require('http').createServer((q, a) => a.end('here')).listen({ fd: 3 })";
  const taker = new Background([process.execPath, "-e", server], {
    env: host.namespace.env,
    logFile: host.path("taker.log"),
    inherited: [held.descriptor],
  });
  expect((await waiting).body).toBe("here");
  await taker.end("SIGKILL");
  const again = call({ socketPath: held.path, path: "/", timeoutMs: 300 });
  await expect(again).rejects.toThrow(/abort|time/i);
});

it("is cleaned up by its anchor when the process that made it is killed", async () => {
  const script = `
    const { Machine } = await import(${JSON.stringify(join(import.meta.dirname, "machine.ts"))});
    const host = await Machine.create();
    await host.engine.start();
    console.log(host.namespace.directory);
    setInterval(() => {}, 1000);`;
  const owner = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(owner.stdout, "data")) as [Buffer];
  const directory = line.toString().trim();
  const name = directory.slice(directory.lastIndexOf("/") + 1);
  expect(findProcesses(name).length).toBeGreaterThan(2);
  owner.kill("SIGKILL");
  await eventually("all gone", () => listLeftovers(name, directory).length === 0);
});

it("outlives the process that made it when asked to, and is ended by its directory alone", async () => {
  const script = `
    const { Machine } = await import(${JSON.stringify(join(import.meta.dirname, "machine.ts"))});
    const host = await Machine.create({ outlive: true });
    await host.engine.start();
    console.log(host.namespace.directory);
    process.exit();`;
  const directory = await mustRun([process.execPath, "--input-type=module", "-e", script]);
  const name = directory.slice(directory.lastIndexOf("/") + 1);
  expect(findProcesses(name).length).toBeGreaterThan(2);
  await endNamespace(directory);
  expect(listLeftovers(name, directory)).toEqual([]);
  await expect(endNamespace("/tmp")).rejects.toThrow("Not the scratch directory");
});
