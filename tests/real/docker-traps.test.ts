import { rename } from "node:fs/promises";
import { expect, it } from "vitest";
import { eventually } from "./command.ts";
import { loadBusybox } from "./images.ts";
import { Machine } from "./machine.ts";
import { startRecordedMachine } from "./recorded-machine.ts";
import { callPlugin } from "./unix-http.ts";

/*
 * Two traps that a Docker Engine sets for a volume plugin. An engine that starts while the plugin is unreachable or answers
 * Get with an error forgets the volume, and makes an empty local one of that name, with exit status 0. And it hands
 * every name on as it is.
 */

const quiet = "--network=none";

/** Makes the volume `data` with a file in it. */
async function fill(host: Machine): Promise<void> {
  await host.mustDocker("volume", "create", "-d", "lagan", "data");
  await host.mustDocker(
    ...["run", "--rm", quiet, "-v", "data:/d", "busybox", "sh", "-c", "echo precious >/d/file"],
  );
}

/** What a new container finds in `data`. */
function read(host: Machine): Promise<string> {
  return host.mustDocker("run", "--rm", quiet, "-v", "data:/d", "busybox", "cat", "/d/file");
}

function driverOf(host: Machine, volume: string): Promise<string> {
  return host.mustDocker("volume", "inspect", "-f", "{{.Driver}}", volume);
}

async function expectUnharmed(host: Machine): Promise<void> {
  expect(await driverOf(host, "data")).toBe("lagan");
  expect(await read(host)).toBe("precious");
  expect(await host.mustDocker("volume", "ls", "-q", "-f", "driver=local")).toBe("");
}

it("an engine that starts while lagand is absent waits at its socket and keeps the volume", async () => {
  await using host = await Machine.create();
  await host.lagand.start({ activated: true });
  await host.engine.start();
  await loadBusybox(host);
  await fill(host);
  await host.lagand.stop();
  await host.engine.stop();
  await host.engine.launch();
  await eventually("the engine waits for the plugin", () => host.lagand.hold().waitedFor);
  expect(await host.engine.answers()).toBe(false);
  await host.lagand.start();
  await host.engine.ready();
  await expectUnharmed(host);
});

it("an engine that starts while lagand is slow waits for it and keeps the volume", async () => {
  await using machine = await startRecordedMachine();
  const { host, recorder } = machine;
  await fill(host);
  const slow = Promise.withResolvers<void>();
  recorder.always("Get", { do: "hold", until: slow.promise });
  await host.engine.stop();
  recorder.take();
  await host.engine.launch();
  await eventually("the engine asks for its volumes", () =>
    recorder.calls.some(({ endpoint }) => endpoint === "Get"),
  );
  expect(await host.engine.answers()).toBe(false);
  slow.resolve();
  await host.engine.ready();
  await expectUnharmed(host);
});

it("an engine that starts while the pool is faulted keeps the volume, and starts no container on another", async () => {
  await using machine = await startRecordedMachine();
  const { host } = machine;
  await fill(host);
  const pool = host.path("state/pools/default");
  await host.lagand.stop();
  await rename(pool, `${pool}.away`);
  await host.lagand.start();
  await host.engine.restart();
  expect(await driverOf(host, "data")).toBe("lagan");
  const refused = await host.docker("run", "--rm", quiet, "-v", "data:/d", "busybox", "true");
  expect(refused.code).toBe(125);
  expect(refused.stderr).toMatch(/Cannot (use|mount)/);
  expect(await host.mustDocker("volume", "ls", "-q", "-f", "driver=local")).toBe("");
  const refusedToo = await host.docker("volume", "rm", "data");
  expect(refusedToo.code).toBe(1);

  await host.lagand.stop();
  await host.run(["rm", "-rf", pool]);
  await rename(`${pool}.away`, pool);
  await host.lagand.start();
  await expectUnharmed(host);
});

it("an engine that was told of an error swaps the volume for an empty one; lagand sees it and says the way back", async () => {
  await using machine = await startRecordedMachine();
  const { host, recorder } = machine;
  await fill(host);
  // What lagand never does: an error for a volume that it has.
  recorder.always("Get", { do: "answer", status: 500, body: '{"Err":"no quorum"}' });
  await host.engine.restart();
  const swapped = await host.docker("run", "--rm", quiet, "-v", "data:/d", "busybox", "ls", "/d");
  expect(swapped).toMatchObject({ code: 0, stdout: "" });
  recorder.behave();
  expect(await driverOf(host, "data")).toBe("local");

  await host.engine.restart();
  await host.mustDocker("volume", "ls");
  const warning = await eventually("the warning", () =>
    host.lagand
      .log()
      .split("\n")
      .find((line) => line.includes("volume.shadowed")),
  );
  expect(warning).toMatch(/\\"data\\" is hidden .* docker volume rm data/);
  expect(JSON.stringify(await host.lagand.get("/v1/doctor"))).toMatch(
    /shadowed volumes.*\\"data\\" in driver \\"local\\".*docker volume rm data/,
  );
  await host.mustDocker("volume", "rm", "data");
  await expectUnharmed(host);
  expect(JSON.stringify(await host.lagand.get("/v1/doctor"))).not.toMatch(/volume rm data/);
});

/** Names that would lead somewhere else, or that people could not type again. */
const NAMES = [
  ...["../escape", "..", ".", "./data", "/etc/escape", "a/b", "we/ird name", "data@@snapshot"],
  ...["", " ", "a", "-rf", ".hidden", "_data", "two words", "new\nline", "tab\t", "bell\u0007"],
  ...["caf\u00e9", "cafe\u0301", "\u202egnp.exe", "\u{1f4be}\u{1f4be}", "zero\u200bwidth"],
  ...["%2e%2e%2fescape", "$(touch escape)", "`id`", "data;rm", "x".repeat(129), "x".repeat(70_000)],
  ...["nul\u0000byte", "C:\\escape", "~root"],
];

it("no name leads anywhere but to a volume: what is not one is refused and makes nothing", async () => {
  await using machine = await startRecordedMachine();
  const { host } = machine;
  await fill(host);
  const socket = host.path("plugins/lagan.sock");
  const volumes = async () =>
    (await callPlugin(socket, "/VolumeDriver.List", {})).json?.["Volumes"];
  const files = () => host.run(["find", host.path("state"), "-not", "-name", "store.db*"]);
  const before = { volumes: await volumes(), files: (await files()).stdout };
  for (const name of NAMES) {
    for (const endpoint of ["Create", "Get", "Path", "Mount", "Remove", "Unmount"]) {
      const body = { Name: name, ID: "id", Opts: {} };
      const { status, json } = await callPlugin(socket, `/VolumeDriver.${endpoint}`, body);
      expect({ name, endpoint, status }).toEqual({ name, endpoint, status: 500 });
      const message = String(json?.["Err"]);
      expect(message).toMatch(/^Cannot .{10,}/);
      // Fit for a terminal and a log, whatever the name was.
      expect(message).toMatch(
        /^(?:[\x20-\x7e\u00a1-\u02ff\u2026\u2600-\u{1ffff}]|\u0301){1,500}$/u,
      );
    }
  }
  // As an engine hands them on: those that a command line can carry.
  for (const name of ["../escape", "we/ird name", "data@snapshot", "caf\u00e9", "x".repeat(129)]) {
    const { code, stderr } = await host.docker("volume", "create", "-d", "lagan", name);
    expect({ name, code }).toEqual({ name, code: 1 });
    expect(stderr).toMatch(/Cannot use ".*"( as a volume name)?: /);
  }
  // Not by the command: newer ones make "../escape" a path of theirs.
  const run = await host.engine.api("/containers/create", {
    method: "POST",
    body: { Image: "busybox", HostConfig: { VolumeDriver: "lagan", Binds: ["../escape:/d"] } },
  });
  expect(run).toMatchObject({ status: 500, body: expect.stringMatching(/Cannot use .*escape/) });
  expect({ volumes: await volumes(), files: (await files()).stdout }).toEqual(before);
  await expectUnharmed(host);
});
