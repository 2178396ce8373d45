import { describe, expect, it } from "vitest";
import type { ContainerExec } from "../../src/core/ports/engine.ts";
import { DockerEngine } from "../../src/host/docker-engine.ts";
import { eventually } from "./command.ts";
import { SharedMachine } from "./recorded-machine.ts";

/* What is done to containers through the API of a real engine. */

const shared = new SharedMachine();
const { signal } = new AbortController();
const network = "--network=none";

function engine(): DockerEngine {
  return new DockerEngine(shared.host.engine.address);
}

/** Starts a container that runs until it is ended; resolves to its id. */
function run(name: string, ...args: readonly string[]): Promise<string> {
  const argv = ["run", "-d", network, "--name", name, ...args];
  return shared.docker(...argv, "busybox", "sleep", "1000000");
}

describe("a container", () => {
  it("is told with its labels, its volumes and what stopping it would do", async () => {
    await shared.docker("volume", "create", "-d", "lagan", "told");
    const id = await run(
      "told",
      ...["-v", "told:/v", "-v", "own:/o", "--label", "a=b", "--rm", "--stop-timeout", "3"],
    );
    expect(await engine().inspect(id, signal)).toMatchObject({
      ...{ id, name: "told", state: "running", labels: { a: "b" } },
      ...{ stopTimeoutMs: 3_000, removedWhenStopped: true },
      volumes: expect.arrayContaining([
        { name: "told", driver: "lagan" },
        { name: "own", driver: "local" },
      ]),
    });
    const details = await engine().inspect(id, signal);
    expect(Math.abs((details?.startedAt ?? 0) - Date.now())).toBeLessThan(60_000);
    expect(await engine().inspect("0".repeat(64), signal)).toBe(undefined);
  });

  it("stops, stays so whatever its restart policy says, and starts; each again is success", async () => {
    const id = await run("always", "--restart=always", "--stop-timeout", "1");
    const control = engine();
    for (let round = 0; round < 2; round++) await control.stop(id, { timeoutMs: 1_000 }, signal);
    expect((await control.inspect(id, signal))?.state).toBe("stopped");
    for (let round = 0; round < 2; round++) await control.start(id, signal);
    expect((await control.inspect(id, signal))?.state).toBe("running");
    expect(
      await shared.docker("inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", "always"),
    ).toBe("always");
  });

  it("is paused and goes on; each again is success", async () => {
    const id = await run("paused");
    const control = engine();
    for (let round = 0; round < 2; round++) await control.pause(id, signal);
    expect((await control.inspect(id, signal))?.state).toBe("paused");
    await control.stop(id, { timeoutMs: 1_000 }, signal);
    expect((await control.inspect(id, signal))?.state).toBe("stopped");
    await control.start(id, signal);
    await control.pause(id, signal);
    for (let round = 0; round < 2; round++) await control.unpause(id, signal);
    expect((await control.inspect(id, signal))?.state).toBe("running");
  });

  it("that is gone, or cannot do it, is told in the engine's words", async () => {
    const gone = "0".repeat(64);
    await expect(engine().start(gone, signal)).rejects.toMatchObject({ code: "not_found" });
    await expect(engine().stop(gone, { timeoutMs: 0 }, signal)).rejects.toMatchObject({
      code: "not_found",
    });
    const id = await shared.docker("create", network, "busybox", "true");
    await expect(engine().pause(id, signal)).rejects.toMatchObject({
      code: "failed_precondition",
      message: expect.stringMatching(/is not running/),
    });
  });
});

describe("a command in a container", () => {
  it("is told by its exit code and by the end of both its outputs", async () => {
    const id = await run("exec");
    const exec = (line: string) =>
      engine().exec(id, ["sh", "-c", line], { timeoutMs: 20_000 }, signal);
    expect(await exec("echo out; echo err >&2; exit 7")).toEqual({
      exitCode: 7,
      output: expect.stringMatching(/^(out\nerr|err\nout)\n$/),
    });
    const much = await exec("seq 1 300000; echo last");
    expect(much.exitCode).toBe(0);
    expect(much.output).toMatch(/300000\nlast\n$/);
    expect(much.output.length).toBeLessThanOrEqual(4_096);
    expect((await engine().exec(id, ["true"], { timeoutMs: 5_000 }, signal)).output).toBe("");
    expect((await exec("sleep 1000 & echo begun")).output).toBe("begun\n");
  });

  it("that is late is told so, and killed", async () => {
    const id = await run("late");
    const late = engine().exec(
      id,
      ["sh", "-c", "echo waiting; exec sleep 4711"],
      { timeoutMs: 1_000 },
      signal,
    );
    await expect(late).rejects.toMatchObject({
      code: "deadline_exceeded",
      detail: { output: "waiting\n" },
    });
    await eventually("it is gone", async () => {
      return !(await shared.docker("exec", "late", "ps")).includes("sleep 4711");
    });
  });

  it("that is not there, or in a container that does not run, is a failure", async () => {
    const id = await run("nothing");
    const absent = await engine()
      .exec(id, ["no-such-command"], { timeoutMs: 5_000 }, signal)
      .catch((thrown: unknown) => thrown);
    // Which of the two depends on the version of the engine.
    expect([126, 127]).toContain((absent as ContainerExec).exitCode);
    await shared.docker("pause", "nothing");
    const paused = engine().exec(id, ["true"], { timeoutMs: 5_000 }, signal);
    await expect(paused).rejects.toMatchObject({ code: "failed_precondition" });
    await shared.docker("unpause", "nothing");
  });

  it("is left alone when the caller goes away", async () => {
    const id = await run("caller");
    const caller = new AbortController();
    const left = engine().exec(id, ["sleep", "100"], { timeoutMs: 60_000 }, caller.signal);
    setTimeout(() => caller.abort(new Error("gone")), 300);
    await expect(left).rejects.toThrow("gone");
  });
});

it("an engine tells what it is, who keeps its layers, and that it has found us", async () => {
  await engine().listVolumes(signal);
  const settings = await engine().settings(signal);
  expect(settings).toMatchObject({ product: "docker", storageDriver: "overlay2", driverType: "" });
  expect(settings.version).toMatch(/^\d+\.\d+/);
  expect(settings.volumePlugins).toEqual(expect.arrayContaining(["lagan", "local"]));
  const findings = await shared.host.mustLagan("doctor");
  expect(findings).toMatch(/to\s+keep\s+them\s+here/);
  expect(findings).not.toContain("does not find the plugin");
});

it("an engine that is not there says so", async () => {
  const absent = new DockerEngine("unix:///tmp/no/such.sock");
  await expect(absent.listVolumes(signal)).rejects.toMatchObject({
    code: "unavailable",
    detail: { absent: true },
  });
});
