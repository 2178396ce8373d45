import { existsSync } from "node:fs";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { eventually, mustRun } from "./command.ts";
import { busyboxRoot, SEEDED_TEXT, seed } from "./images.ts";
import { Machine } from "./machine.ts";
import { PLUGIN_DIRECTORY } from "./namespace.ts";
import { mountIds } from "./recorded-machine.ts";
import { type RecordedCall, Recorder } from "./recorder.ts";
import { callPlugin } from "./unix-http.ts";

/*
 * Podman 4.3 on the same socket, as it is: it finds plugins in containers.conf, shakes hands anew in every process, mounts
 * once for all containers under one ID for ever, and overlooks an Err in an answer with status 200.
 */

let host: Machine;
let recorder: Recorder;
const cleanups = new AsyncDisposableStack();

beforeAll(async () => {
  host = cleanups.use(await Machine.create());
  recorder = new Recorder({
    listenPath: host.namespace.inside(`${PLUGIN_DIRECTORY}/lagan.sock`),
    targetPath: host.path("plugins/lagan.sock"),
  });
  cleanups.use(recorder);
  await host.lagand.start({ pluginDirectory: host.path("plugins") });
  await recorder.appear();
  const root = await busyboxRoot(host.path("image"));
  await seed(`${root}/data`);
  await mustRun(["tar", "-C", root, "-cf", host.path("image.tar"), "."]);
  await host.mustPodman("import", "-c", "VOLUME=/data", host.path("image.tar"), "seeded");
});

afterEach(async () => {
  recorder.behave();
  await host.mustPodman("rm", "-fa", "-t", "0");
});

afterAll(() => cleanups.disposeAsync());

function create(name: string, ...options: readonly string[]): Promise<string> {
  return host.mustPodman("volume", "create", "--driver=lagan", ...options, name);
}

/** Runs a container with volume `name` at `/v` to its end. */
function inside(name: string, ...argv: readonly string[]): Promise<string> {
  return host.mustPodman("run", "--rm", "--network=none", "-v", `${name}:/v`, "seeded", ...argv);
}

/** Holds the calls of `action` to `expected`, beside the handshake that every process of Podman makes. */
async function expectCalls(
  expected: readonly string[],
  action: () => Promise<unknown>,
): Promise<readonly RecordedCall[]> {
  recorder.take();
  await action();
  const calls = recorder.take().filter(({ endpoint }) => endpoint !== "Activate");
  expect(calls.map(({ endpoint }) => endpoint)).toEqual(expected);
  return calls;
}

it("create asks and creates, with the options; rm asks and removes; inspect names the driver", async () => {
  const calls = await expectCalls(["Get", "Create"], () => create("made", "-o", "uid=7"));
  expect(calls[1]?.request).toEqual({ Name: "made", Opts: { uid: "7" } });
  const [volume] = JSON.parse(await host.mustPodman("volume", "inspect", "made")) as [
    Record<string, unknown>,
  ];
  expect(volume).toMatchObject({ Name: "made", Driver: "lagan" });
  expect(await inside("made", "stat", "-c", "%u", "/v")).toBe("7");
  await expectCalls(["Get", "Remove"], () => host.mustPodman("volume", "rm", "made"));
  expect(await host.mustPodman("volume", "ls", "-q")).not.toMatch(/^made$/m);
});

it("a refused creation is an error for Podman too, and leaves nothing", async () => {
  const { code, stderr } = await host.podman(
    ...["volume", "create", "--driver=lagan", "-o", "colour=red", "refused"],
  );
  expect(code).not.toBe(0);
  expect(stderr).toMatch(/colour.*size/);
  expect(await host.mustPodman("volume", "ls", "-q")).not.toMatch(/^refused$/m);
});

it("a name that is taken in lagand is refused", async () => {
  await create("taken");
  const { code, stderr } = await host.podman("volume", "create", "--driver=lagan", "taken");
  expect(code).not.toBe(0);
  expect(stderr).toMatch(/already exists/);
});

it("a plugin that is not configured, and one that does not run, are named in the error", async () => {
  const unknown = await host.podman("volume", "create", "--driver=nosuch", "v1");
  expect(unknown.code).not.toBe(0);
  expect(unknown.stderr).toMatch(/nosuch/);
  await recorder.vanish();
  const dead = await host.podman("volume", "create", "--driver=lagan", "v2");
  await recorder.appear();
  expect(dead.code).not.toBe(0);
  expect(dead.stderr).toMatch(/cannot access plugin lagan/);
});

it("what one container wrote, another reads after the first is removed", async () => {
  await create("outlives");
  await inside("outlives", "sh", "-c", "echo precious >/v/file");
  expect(await inside("outlives", "cat", "/v/file")).toBe("precious");
});

it("two containers share a volume through one Mount and one Unmount with Podman's one ID", async () => {
  await create("shared");
  const run = ["run", "-d", "--network=none", "-v", "shared:/v"];
  const mounted = await expectCalls(["Mount"], () =>
    host.mustPodman(...run, "--name", "first", "seeded", "sleep", "9999"),
  );
  const [id] = mountIds(mounted, "Mount");
  expect(id).toMatch(/^[0-9a-f]{64}$/);
  await expectCalls([], () =>
    host.mustPodman(...run, "--name", "other", "seeded", "sleep", "9999"),
  );
  await host.mustPodman("exec", "first", "sh", "-c", "echo hello >/v/file");
  expect(await host.mustPodman("exec", "other", "cat", "/v/file")).toBe("hello");
  await expectCalls([], () => host.mustPodman("rm", "-f", "-t", "0", "first"));
  const refused = await host.podman("volume", "rm", "shared");
  expect(refused.code).not.toBe(0);
  const unmounted = await expectCalls(["Unmount"], () =>
    host.mustPodman("rm", "-f", "-t", "0", "other"),
  );
  expect(mountIds(unmounted, "Unmount")).toEqual([id]);
  await host.mustPodman("volume", "rm", "shared");
});

it("an image's content is copied into a new volume once", async () => {
  await create("seed");
  const run = ["run", "--rm", "--network=none", "-v", "seed:/data", "seeded"];
  expect(await host.mustPodman(...run, "cat", "/data/file")).toBe(SEEDED_TEXT.trim());
  await host.mustPodman(...run, "rm", "/data/file");
  expect((await host.podman(...run, "cat", "/data/file")).code).toBe(1);
});

it("ls and inspect ask for each volume; volumes made elsewhere come with a reload", async () => {
  await create("known");
  recorder.take();
  await host.mustPodman("volume", "ls");
  await host.mustPodman("volume", "inspect", "known");
  expect(new Set(recorder.take().map(({ endpoint }) => endpoint))).toEqual(
    new Set(["Activate", "Get"]),
  );
  const socket = host.path("plugins/lagan.sock");
  await callPlugin(socket, "/VolumeDriver.Create", { Name: "elsewhere" });
  expect(await host.mustPodman("volume", "ls", "-q")).not.toMatch(/^elsewhere$/m);
  expect(await host.mustPodman("volume", "reload")).toMatch(/Added:\s+elsewhere/);
  expect(await host.mustPodman("volume", "ls", "-q")).toMatch(/^elsewhere$/m);
  expect(await inside("elsewhere", "ls", "-A", "/v")).toBe("");
});

it("rm while lagand is away fails with 125, and a reload brings the volume back", async () => {
  await create("away");
  await inside("away", "touch", "/v/file");
  await recorder.vanish();
  const { code } = await host.podman("volume", "rm", "away");
  expect(code).toBe(125);
  await recorder.appear();
  await host.mustPodman("volume", "reload");
  expect(await inside("away", "ls", "/v")).toBe("file");
});

it("a container that runs keeps its volume through a crash of lagand", async () => {
  await create("crash");
  await host.mustPodman(
    ...["run", "-d", "--network=none", "--name", "writer", "-v", "crash:/v", "seeded"],
    ...["sh", "-c", "while :; do i=$((i+1)); echo $i >/v/count; usleep 20000; done"],
  );
  const count = async () => {
    const { stdout } = await host.podman("exec", "writer", "cat", "/v/count");
    return Number(stdout);
  };
  const before = await eventually("it writes", async () => (await count()) || undefined);
  await host.lagand.crash();
  await eventually("it writes on", async () => (await count()) > before);
  const removed = await host.podman("volume", "rm", "crash");
  expect(removed.code).not.toBe(0);
  await host.mustPodman("rm", "-f", "-t", "0", "writer");
  await host.mustPodman("volume", "rm", "crash");
});

it("leaves the host's own Podman alone", async () => {
  const places = [
    "/var/lib/containers/cache",
    "/sys/fs/cgroup/memory/libpod_parent",
    "/run/libpod",
  ];
  const before = places.map((place) => existsSync(place));
  await create("own");
  await inside("own", "true");
  expect(places.map((place) => existsSync(place))).toEqual(before);
});

it("Docker's and Podman's containers share a volume of one name", async () => {
  await host.engine.start();
  await host.engine.importImage("busybox", host.path("image"));
  await host.mustDocker("volume", "create", "-d", "lagan", "both");
  await host.mustDocker(
    ...["run", "--rm", "--network=none", "-v", "both:/v", "busybox"],
    ...["sh", "-c", "echo docker >/v/file"],
  );
  await host.mustPodman("volume", "reload");
  expect(await inside("both", "cat", "/v/file")).toBe("docker");
});
