import { afterAll, beforeAll, expect, it } from "vitest";
import { DockerEngine } from "../../src/host/docker-engine.ts";
import type { Background } from "./background.ts";
import { mustRun } from "./command.ts";
import { busyboxRoot } from "./images.ts";
import { Machine } from "./machine.ts";

/* Podman's service speaks Docker's API: the same control, the same answers. */

let host: Machine;
let service: Background | undefined;
let engine: DockerEngine;
const { signal } = new AbortController();

beforeAll(async () => {
  host = await Machine.create();
  await host.lagand.start();
  const root = await busyboxRoot(host.path("image"));
  await mustRun(["tar", "-C", root, "-cf", host.path("image.tar"), "."]);
  await host.mustPodman("import", host.path("image.tar"), "busybox");
  const socketPath = host.path("podman.sock");
  service = await host.podmanEngine.serve(socketPath);
  engine = new DockerEngine(`unix://${socketPath}`);
});
afterAll(async () => {
  await host.podman("rm", "-fa", "-t", "0");
  await service?.end("SIGTERM");
  await host[Symbol.asyncDispose]();
});

it("Podman is not taken for Docker", async () => {
  expect(await engine.settings(signal)).toMatchObject({ product: "other" });
});

it("a container of Podman's is found, stopped, started, paused and run in", async () => {
  await host.mustPodman("volume", "create", "--driver=lagan", "data");
  const id = await host.mustPodman(
    ...["run", "-d", "--network=none", "--name", "web", "--label", "a=b"],
    ...["-v", "data:/v", "busybox", "sleep", "1000000"],
  );
  expect(await engine.listContainers("data", signal)).toEqual([{ id, name: "web", running: true }]);
  expect(await engine.inspect(id, signal)).toMatchObject({
    ...{ id, name: "web", state: "running", removedWhenStopped: false },
    ...{ labels: { a: "b" }, volumes: [{ name: "data", driver: "lagan" }] },
  });
  const state = async () => (await engine.inspect(id, signal))?.state;
  for (let round = 0; round < 2; round++) await engine.pause(id, signal);
  expect(await state()).toBe("paused");
  for (let round = 0; round < 2; round++) await engine.unpause(id, signal);
  for (let round = 0; round < 2; round++) await engine.stop(id, { timeoutMs: 0 }, signal);
  expect(await state()).toBe("stopped");
  for (let round = 0; round < 2; round++) await engine.start(id, signal);
  expect(await state()).toBe("running");
  const exec = (line: string, timeoutMs = 20_000) =>
    engine.exec(id, ["sh", "-c", line], { timeoutMs }, signal);
  expect(await exec("echo out; echo err >&2; exit 7")).toEqual({
    exitCode: 7,
    output: expect.stringMatching(/^(out\nerr|err\nout)\n$/),
  });
  await expect(exec("echo waiting; exec sleep 1000", 1_500)).rejects.toMatchObject({
    code: "deadline_exceeded",
    detail: { output: "waiting\n" },
  });
  expect(await engine.inspect("0".repeat(64), signal)).toBe(undefined);
});
