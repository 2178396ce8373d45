import { existsSync } from "node:fs";
import { expect, it, onTestFinished } from "vitest";
import { eventually } from "./command.ts";
import { DIRECTORY_POOL } from "./lagand.ts";
import { removeContainers, SharedMachine, startRecordedMachine } from "./recorded-machine.ts";
import type { RecordedCall } from "./recorder.ts";
import { callPlugin } from "./unix-http.ts";

/*
 * moby's own cases for external volume drivers (integration-cli/docker_cli_external_volume_driver_test.go), against
 * lagand instead of the plugin that plays along in moby's test process. Titles name the case.
 */

const shared = new SharedMachine();
const quiet = "--network=none";

/** How often each endpoint was called. */
function counts(calls: readonly RecordedCall[]): Readonly<Record<string, number>> {
  const counted: Record<string, number> = {};
  for (const { endpoint } of calls) counted[endpoint] = (counted[endpoint] ?? 0) + 1;
  return counted;
}

/** The counts of what `action` causes; the engine unmounts a little after a container's end. */
async function counted(action: () => Promise<unknown>): Promise<Readonly<Record<string, number>>> {
  shared.recorder.take();
  await action();
  const of = (endpoint: string) => counts(shared.recorder.calls)[endpoint] ?? 0;
  await eventually("every mount is taken back", () => of("Mount") === of("Unmount"));
  return counts(shared.recorder.take());
}

/** Removes a volume without the engine's knowledge. */
async function removeBehindItsBack(volume: string): Promise<void> {
  const socket = shared.host.path("plugins/lagan.sock");
  const { status } = await callPlugin(socket, "/VolumeDriver.Remove", { Name: volume });
  expect(status).toBe(200);
}

it("ExternalVolumeDriverNamed: content is seen, the volume stays, and removal takes its path", async () => {
  const machine = await startRecordedMachine({
    config: `${DIRECTORY_POOL}trash:\n  keep: "0"\n`,
  });
  onTestFinished(() => machine[Symbol.asyncDispose]());
  const { host, recorder } = machine;
  await host.mustDocker(
    ...["run", "--rm", quiet, "--volume-driver=lagan", "-v", "named:/tmp/v"],
    ...["busybox", "sh", "-c", "echo hello >/tmp/v/file"],
  );
  expect(
    await host.mustDocker("run", "--rm", quiet, "-v", "named:/v", "busybox", "cat", "/v/file"),
  ).toBe("hello");
  const path = await host.mustDocker("volume", "inspect", "-f", "{{.Mountpoint}}", "named");
  expect(existsSync(host.namespace.inside(`${path}/file`))).toBe(true);
  await eventually("unmounted", () => counts(recorder.calls)["Unmount"] === 2);
  await host.mustDocker("volume", "rm", "named");
  expect(existsSync(host.namespace.inside(path))).toBe(false);
  expect(counts(recorder.take())).toMatchObject({
    ...{ Activate: 1, Capabilities: 1, Create: 1, Mount: 2, Unmount: 2, Remove: 1 },
  });
});

it("ExternalVolumeDriverUnnamed: an anonymous volume goes with its container", async () => {
  const calls = await counted(() =>
    shared.docker(
      ...["run", "--rm", quiet, "--volume-driver=lagan", "-v", "/tmp/v"],
      ...["busybox", "touch", "/tmp/v/file"],
    ),
  );
  expect(calls).toMatchObject({ Create: 1, Mount: 1, Unmount: 1, Remove: 1 });
});

it("ExternalVolumeDriverVolumesFrom: created once, mounted by both, removed with the owner", async () => {
  const calls = await counted(async () => {
    await shared.docker(
      ...["run", quiet, "--name", "owner", "--volume-driver=lagan", "-v", "/foo"],
      ...["busybox", "touch", "/foo/file"],
    );
    expect(
      await shared.docker("run", "--rm", quiet, "--volumes-from=owner", "busybox", "ls", "/foo"),
    ).toBe("file");
    await shared.docker("rm", "-fv", "owner");
  });
  expect(calls).toMatchObject({ Create: 1, Mount: 2, Unmount: 2, Remove: 1 });
});

it("ExternalVolumeDriverDeleteContainer: rm -fv removes the anonymous volume", async () => {
  const calls = await counted(async () => {
    await shared.docker(
      ...[
        "run",
        quiet,
        "--name",
        "owner",
        "--volume-driver=lagan",
        "-v",
        "/foo",
        "busybox",
        "true",
      ],
    );
    await shared.docker("rm", "-fv", "owner");
  });
  expect(calls).toMatchObject({ Create: 1, Mount: 1, Unmount: 1, Remove: 1 });
});

it("ExternalVolumeDriverLookupNotBlocked: a slow plugin does not hold up volumes of other drivers", async () => {
  const held = Promise.withResolvers<void>();
  shared.recorder.once("Create", { do: "hold", until: held.promise });
  const slow = shared.docker("volume", "create", "-d", "lagan", "slow");
  let done = false;
  const finished = slow.then(() => {
    done = true;
  });
  await eventually("Create is under way", () =>
    shared.recorder.calls.some(({ endpoint }) => endpoint === "Create"),
  );
  await shared.docker("volume", "create", "quick");
  await shared.docker("volume", "rm", "quick");
  expect(done).toBe(false);
  held.resolve();
  await finished;
});

it("ExternalVolumeDriverRetryNotImmediatelyExists: a plugin that comes a little later is found", async () => {
  await shared.recorder.vanish();
  const before = shared.host.engine.log().length;
  const waiting = shared.docker(
    ...["run", "--rm", quiet, "--volume-driver=lagan", "-v", "later:/v", "busybox", "ls", "/v"],
  );
  try {
    await eventually("the engine has missed it", () =>
      /Unable to connect to plugin/.test(shared.host.engine.log().slice(before)),
    );
  } finally {
    await shared.recorder.appear();
  }
  await waiting;
});

it("ExternalVolumeDriverBindExternalVolume: a name without a driver finds the plugin's volume", async () => {
  await shared.docker("volume", "create", "-d", "lagan", "foo");
  await shared.docker("run", "-d", quiet, "--name", "testing", "-v", "foo:/bar", "busybox", "top");
  const mounts = await shared.docker("inspect", "-f", "{{json .Mounts}}", "testing");
  expect(JSON.parse(mounts)).toEqual([
    expect.objectContaining({
      ...{ Type: "volume", Name: "foo", Driver: "lagan", Destination: "/bar", RW: true },
    }),
  ]);
});

it("ExternalVolumeDriverList: ls shows driver and name, and lists once", async () => {
  await shared.docker("volume", "create", "-d", "lagan", "abc3");
  shared.recorder.take();
  const listed = await shared.docker("volume", "ls", "--format", "{{.Driver}} {{.Name}}");
  expect(listed).toMatch(/^lagan abc3$/m);
  expect(counts(shared.recorder.take())).toEqual({ List: 1 });
});

it("ExternalVolumeDriverGet: an unknown volume is not found; a known one shows its status", async () => {
  shared.recorder.take();
  const { code, stderr } = await shared.host.docker("volume", "inspect", "dummy");
  expect(code).toBe(1);
  expect(stderr).toMatch(/no such volume/i);
  expect(counts(shared.recorder.take())).toEqual({ Get: 1 });
  await shared.docker("volume", "create", "-d", "lagan", "told");
  const [volume] = JSON.parse(await shared.docker("volume", "inspect", "told")) as [
    Record<string, unknown>,
  ];
  expect(volume).toMatchObject({ Name: "told", Driver: "lagan", Scope: "local" });
  expect(volume["Status"]).toMatchObject({
    ...{ pool: "default", driver: "directory", health: "ok", mounts: 0, size: "no limit" },
    used: expect.any(String),
  });
});

it("ExternalVolumeDriverWithDaemonRestart: the volume is usable after a restart of the engine", async () => {
  await shared.docker(
    ...["run", quiet, "--name", "test", "--volume-driver=lagan", "-v", "kept:/foo"],
    ...["busybox", "sh", "-c", "date >>/foo/dates"],
  );
  await shared.host.engine.restart();
  await shared.docker("start", "-a", "test");
  expect(await shared.docker("inspect", "-f", "{{(index .Mounts 0).Driver}}", "test")).toBe(
    "lagan",
  );
  expect(
    (
      await shared.docker("run", "--rm", quiet, "-v", "kept:/v", "busybox", "wc", "-l", "/v/dates")
    )[0],
  ).toBe("2");
});

it("ExternalVolumeDriverPathCalls: Path is never needed", async () => {
  const calls = await counted(async () => {
    await shared.docker("volume", "create", "-d", "lagan", "pathless");
    await shared.docker("volume", "ls");
    await shared.docker("run", "--rm", quiet, "-v", "pathless:/v", "busybox", "true");
  });
  expect(calls["Path"]).toBeUndefined();
});

it("ExternalVolumeDriverMountID: Mount comes with an ID", async () => {
  await shared.docker("volume", "create", "-d", "lagan", "identified");
  const { calls } = await shared.recorder.during(
    () => shared.docker("run", "--rm", quiet, "-v", "identified:/v", "busybox", "true"),
    "G G M G U",
  );
  const mount = calls.find(({ endpoint }) => endpoint === "Mount");
  expect(mount?.request).toEqual({
    Name: "identified",
    ID: expect.stringMatching(/^[0-9a-f]{64}$/),
  });
});

it("ExternalVolumeDriverCapabilities: asked once in the engine's life; the scope is shown", async () => {
  await shared.host.engine.restart();
  shared.recorder.take();
  for (const name of ["scope-1", "scope-2", "scope-3"]) {
    await shared.docker("volume", "create", "-d", "lagan", name);
    expect(await shared.docker("volume", "inspect", "-f", "{{.Scope}}", name)).toBe("local");
  }
  expect(counts(shared.recorder.take())["Capabilities"] ?? 0).toBe(0);
  const { calls } = await shared.recorder.during(() => shared.host.engine.restart(), "A K");
  expect(counts(calls)).toMatchObject({ Activate: 1, Capabilities: 1 });
});

it("ExternalVolumeDriverOutOfBandDelete: the name is free again, for ours and for other drivers", async () => {
  await shared.docker("volume", "create", "-d", "lagan", "-o", "uid=1", "lost");
  await removeBehindItsBack("lost");
  await shared.docker("volume", "create", "-d", "lagan", "-o", "uid=2", "lost");
  expect(await shared.docker("volume", "inspect", "-f", "{{.Options}}", "lost")).toBe("map[uid:2]");
  await removeBehindItsBack("lost");
  await shared.docker("volume", "create", "-d", "local", "lost");
  expect(await shared.docker("volume", "inspect", "-f", "{{.Driver}}", "lost")).toBe("local");
});

it("ExternalVolumeDriverUnmountOnMountFail: a mount that failed is not taken back", async () => {
  await shared.docker("volume", "create", "-d", "lagan", "unmountable");
  for (const more of [[], ["-w", "/v"]]) {
    shared.recorder.once("Mount", { do: "answer", status: 500, body: '{"Err":"no"}' });
    shared.recorder.take();
    const { code } = await shared.host.docker(
      ...["run", quiet, "--rm", ...more, "-v", "unmountable:/v", "busybox", "true"],
    );
    expect(code).toBe(125);
    expect(counts(shared.recorder.take())).toMatchObject({ Mount: 1 });
    expect(counts(shared.recorder.calls)["Unmount"]).toBeUndefined();
  }
});

it("ExternalVolumeDriverUnmountOnCp: cp takes back what it mounted, and the container its own", async () => {
  await shared.docker("volume", "create", "-d", "lagan", "copied");
  const calls = await counted(async () => {
    await shared.docker("run", "-d", quiet, "--name", "web", "-v", "copied:/foo", "busybox", "top");
    await shared.docker("cp", "web:/foo", shared.host.path("copy"));
    expect(counts(shared.recorder.calls)).toMatchObject({ Mount: 2, Unmount: 1 });
    await shared.docker("kill", "web");
  });
  expect(calls).toMatchObject({ Mount: 2, Unmount: 2 });
});

it("VolumeCLICreateOptionConflict: one name, one driver", async () => {
  await shared.docker("volume", "create", "taken");
  const other = await shared.host.docker("volume", "create", "-d", "lagan", "taken");
  expect(other.code).toBe(1);
  expect(other.stderr).toMatch(/driver 'local' already has volume 'taken'|must be unique/);
  await shared.docker("volume", "create", "-d", "local", "taken");
  await shared.docker("volume", "rm", "taken");
  await shared.docker("volume", "create", "-d", "lagan", "taken");
  await removeContainers(shared.host);
});
