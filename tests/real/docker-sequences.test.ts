import { describe, expect, it } from "vitest";
import { mountIds, SharedMachine } from "./recorded-machine.ts";
import { callPlugin } from "./unix-http.ts";

/*
 * What a Docker Engine 20.10 calls for each thing that its users do (G Get, C Create, M Mount, U Unmount, R Remove,
 * L List, A Activate, K Capabilities). The sequences are the engine's; that they come out shows that every answer of
 * ours was one that it goes on from.
 */

const shared = new SharedMachine();
const sleep = ["--network=none", "--stop-signal=KILL", "busybox", "sleep", "9999"];

/** A container that runs with `mounts` as its `-v` arguments. */
function start(name: string, ...mounts: readonly string[]): Promise<string> {
  return shared.docker(
    ...["run", "-d", "--name", name],
    ...mounts.flatMap((mount) => ["-v", mount]),
    ...sleep,
  );
}

function create(name: string): Promise<string> {
  return shared.docker("volume", "create", "-d", "lagan", name);
}

describe("volumes", () => {
  it("first contact activates the plugin and asks what it can", async () => {
    const { calls } = await shared.recorder.during(() => create("first"), "A K G C");
    // lagand takes an Activate as the start of an engine, and asks it for its volumes: List.
    const sequence = calls.filter(({ endpoint }) => endpoint !== "List");
    expect(sequence.map(({ endpoint }) => endpoint)).toEqual([
      "Activate",
      "Capabilities",
      "Get",
      "Create",
    ]);
  });

  it("create asks for the name, then creates", async () => {
    const [get, made] = await shared.expectCalls("G C", () => create("made"));
    expect(get).toMatchObject({ status: 500, request: { Name: "made" } });
    expect(made).toMatchObject({ status: 200, request: { Name: "made", Opts: {} } });
  });

  it("create of a volume that exists only asks for it, also with other options", async () => {
    await create("twice");
    await shared.expectCalls("G", () => create("twice"));
    await shared.expectCalls("G", () =>
      shared.docker("volume", "create", "-d", "lagan", "-o", "uid=5", "twice"),
    );
  });

  it("a create that is refused is not followed by a removal", async () => {
    const calls = await shared.expectCalls("G C", async () => {
      const { code, stderr } = await shared.host.docker(
        ...["volume", "create", "-d", "lagan", "-o", "colour=red", "refused"],
      );
      expect(code).toBe(1);
      expect(stderr).toMatch(/create refused: .*"colour".*size/);
    });
    expect(calls[1]?.status).toBe(500);
    expect(await shared.docker("volume", "ls", "-q")).not.toMatch(/^refused$/m);
  });

  it("ls lists, with and without a filter; inspect asks", async () => {
    await create("listed");
    const [list] = await shared.expectCalls("L", () => shared.docker("volume", "ls"));
    expect(list?.response["Volumes"]).toContainEqual(expect.objectContaining({ Name: "listed" }));
    await shared.expectCalls("L", () => shared.docker("volume", "ls", "-f", "dangling=true"));
    await shared.expectCalls("G", () => shared.docker("volume", "inspect", "listed"));
  });

  it("rm asks twice and removes; one in use is refused by the engine itself", async () => {
    await create("removed");
    await start("holder", "removed:/v");
    await shared.expectCalls("G", async () => {
      const { code, stderr } = await shared.host.docker("volume", "rm", "removed");
      expect(code).toBe(1);
      expect(stderr).toMatch(/volume is in use/);
    });
    await shared.docker("rm", "-f", "holder");
    await shared.expectCalls("G G R", () => shared.docker("volume", "rm", "removed"));
  });

  it("prune and system df leave plugins alone", async () => {
    await create("unpruned");
    await shared.expectCalls("", () => shared.docker("volume", "prune", "-f"));
    await shared.expectCalls("", () => shared.docker("system", "df"));
    await shared.docker("volume", "inspect", "unpruned");
  });

  it("a refused rm -f shows the error, and the volume is listed still", async () => {
    await shared.docker("volume", "create", "-d", "lagan", "-o", "protect=true", "kept");
    await shared.expectCalls("G G R", async () => {
      const { code, stderr } = await shared.host.docker("volume", "rm", "-f", "kept");
      expect(code).toBe(1);
      expect(stderr).toMatch(/protected/);
    });
    expect(await shared.docker("volume", "ls", "-q")).toMatch(/^kept$/m);
  });

  it("a volume that was made behind the engine's back is found by name and listed", async () => {
    await create("known");
    await plugin("Create", { Name: "behind", Opts: {} });
    await shared.expectCalls("L", async () => {
      expect(await shared.docker("volume", "ls", "-q")).toMatch(/^behind$/m);
    });
    await start("user", "behind:/v");
    expect(
      await shared.docker("inspect", "-f", "{{range .Mounts}}{{.Driver}}{{end}}", "user"),
    ).toBe("lagan");
  });

  it("a volume that was removed behind the engine's back is made anew", async () => {
    await create("gone");
    await plugin("Remove", { Name: "gone" });
    await shared.expectCalls("G G C", () => create("gone"));
  });

  it("a name that another driver has is refused", async () => {
    await shared.docker("volume", "create", "taken");
    const { code, stderr } = await shared.host.docker("volume", "create", "-d", "lagan", "taken");
    expect(code).toBe(1);
    expect(stderr).toMatch(/volume name must be unique/);
  });

  /** A call of the plugin that the engine knows nothing of. */
  async function plugin(endpoint: string, body: object): Promise<void> {
    const target = shared.host.path("plugins/lagan.sock");
    expect((await callPlugin(target, `/VolumeDriver.${endpoint}`, body)).status).toBe(200);
  }
});

describe("containers", () => {
  it("create asks; where the image has content, it mounts for a moment to copy it", async () => {
    await create("copied");
    await shared.expectCalls("G", () =>
      shared.docker("create", "-v", "copied:/nowhere", "busybox"),
    );
    const calls = await shared.expectCalls("G G M G U", () =>
      shared.docker("create", "-v", "copied:/data", "seeded"),
    );
    expect(mountIds(calls, "Mount")).toEqual(mountIds(calls, "Unmount"));
    // The same again although it is not empty any more; not at all with nocopy.
    await shared.expectCalls("G G M G U", () =>
      shared.docker("create", "-v", "copied:/data", "seeded"),
    );
    await shared.expectCalls("G", () =>
      shared.docker("create", "-v", "copied:/data:nocopy", "seeded"),
    );
  });

  it("start mounts once for each mount point, each with an ID of its own; stop unmounts them", async () => {
    await create("two");
    await shared.docker("create", "--name", "pair", "-v", "two:/a", "-v", "two:/b", ...sleep);
    const started = await shared.expectCalls("G M G M", () => shared.docker("start", "pair"));
    const ids = mountIds(started, "Mount");
    expect(new Set(ids).size).toBe(2);
    const stopped = await shared.expectCalls("G U G U", () => shared.docker("stop", "pair"));
    expect(mountIds(stopped, "Unmount").sort()).toEqual([...ids].sort());
  });

  it("run --rm with a new volume creates, copies, mounts and unmounts; the named volume stays", async () => {
    const calls = await shared.expectCalls("G C G M G U G M G U", () =>
      shared.docker(
        ...["run", "--rm", "--network=none", "--volume-driver=lagan", "-v", "fresh:/data"],
        ...["seeded", "cat", "/data/file"],
      ),
    );
    expect(calls[1]?.request).toEqual({ Name: "fresh", Opts: null });
    await shared.docker("volume", "inspect", "fresh");
  });

  it("a second container that shares mounts under an ID of its own", async () => {
    await create("common");
    const first = await shared.expectCalls("G G M", () => start("first", "common:/v"));
    const second = await shared.expectCalls("G G M", () => start("second", "common:/v"));
    expect(mountIds(first, "Mount")).not.toEqual(mountIds(second, "Mount"));
    const gone = await shared.expectCalls("G U", () => shared.docker("rm", "-f", "first"));
    expect(mountIds(gone, "Unmount")).toEqual(mountIds(first, "Mount"));
    await shared.docker("exec", "second", "touch", "/v/still-here");
  });

  it("restart unmounts the old ID and mounts a new one; kill and exit unmount", async () => {
    await create("again");
    const [mount] = (await shared.expectCalls("G G M", () => start("web", "again:/v"))).slice(-1);
    const calls = await shared.expectCalls("G U G M", () => shared.docker("restart", "web"));
    expect(mountIds(calls, "Unmount")).toEqual([mount?.request["ID"]]);
    expect(mountIds(calls, "Mount")).not.toEqual(mountIds(calls, "Unmount"));
    await shared.expectCalls("G U", () => shared.docker("kill", "web"));
    await shared.expectCalls("G M G U", () =>
      shared.docker("start", "web").then(() => shared.docker("kill", "web")),
    );
  });

  it("a start that fails after the mount unmounts", async () => {
    await create("failing");
    await shared.docker(
      "create",
      "--name",
      "bad",
      "-v",
      "failing:/v",
      "busybox",
      "/no/such/command",
    );
    const calls = await shared.expectCalls("G M G U", async () => {
      expect((await shared.host.docker("start", "bad")).code).toBe(1);
    });
    expect(mountIds(calls, "Mount")).toEqual(mountIds(calls, "Unmount"));
  });

  it("a mount that fails is not followed by an unmount, and the container says why", async () => {
    await create("unmountable");
    await shared.docker("create", "--name", "bad", "-v", "unmountable:/v", "busybox");
    shared.recorder.once("Mount", { do: "answer", status: 500, body: '{"Err":"pool is faulted"}' });
    await shared.expectCalls("G M", async () => {
      expect((await shared.host.docker("start", "bad")).stderr).toMatch(/pool is faulted/);
    });
    const state = await shared.docker("inspect", "-f", "{{.State.Status}} {{.State.Error}}", "bad");
    expect(state).toMatch(/^created .*pool is faulted/);
  });

  it("an unmount that fails does not keep the container, and later unmounts go on", async () => {
    await create("stuck");
    await start("web", "stuck:/v");
    shared.recorder.once("Unmount", { do: "answer", status: 500, body: '{"Err":"not now"}' });
    await shared.expectCalls("G U", () => shared.docker("stop", "web"));
    expect(await shared.docker("inspect", "-f", "{{.State.Running}}", "web")).toBe("false");
    await shared.expectCalls("G M", () => shared.docker("start", "web"));
    await shared.expectCalls("G U", () => shared.docker("rm", "-f", "web"));
  });

  it("cp to a running container mounts and unmounts the ID that the container holds", async () => {
    await create("cp");
    const started = await shared.expectCalls("G G M", () => start("web", "cp:/v"));
    const source = await shared.host.namespace.write("copied.txt", "copied\n");
    // The command looks at the target first, in a call of its own.
    const calls = await shared.expectCalls("G M G U G M G U", () =>
      shared.docker("cp", source, "web:/v/"),
    );
    const [id] = mountIds(started, "Mount");
    expect(mountIds(calls, "Mount")).toEqual([id, id]);
    expect(mountIds(calls, "Unmount")).toEqual([id, id]);
    expect(await shared.docker("exec", "web", "cat", "/v/copied.txt")).toBe("copied");
  });

  it("cp to a stopped container mounts and unmounts a new ID", async () => {
    await create("cold");
    await shared.docker(
      "create",
      "--name",
      "web",
      "-v",
      "cold:/v",
      "busybox",
      "cat",
      "/v/copied.txt",
    );
    const source = await shared.host.namespace.write("copied.txt", "cold\n");
    const calls = await shared.expectCalls("G M G U G M G U", () =>
      shared.docker("cp", source, "web:/v/"),
    );
    expect(mountIds(calls, "Mount")).toEqual(mountIds(calls, "Unmount"));
    expect(await shared.docker("start", "-a", "web")).toBe("cold");
  });

  it("exec, inspect, pause, update, export, diff and commit call nothing", async () => {
    await create("quiet");
    await start("web", "quiet:/v");
    await shared.expectCalls("", async () => {
      await shared.docker("exec", "web", "ls", "/v");
      await shared.docker("inspect", "web");
      await shared.docker("pause", "web");
      await shared.docker("unpause", "web");
      await shared.docker("update", "--restart=no", "web");
      await shared.docker("export", "-o", shared.host.path("export.tar"), "web");
      await shared.docker("diff", "web");
      await shared.docker("commit", "web", "committed");
    });
  });

  it("rm of a container with a named volume calls nothing, with and without -v", async () => {
    await create("named");
    await shared.docker("create", "--name", "one", "-v", "named:/v", "busybox");
    await shared.docker("create", "--name", "two", "-v", "named:/v", "busybox");
    await shared.expectCalls("", () => shared.docker("rm", "one"));
    await shared.expectCalls("", () => shared.docker("rm", "-v", "two"));
    await shared.docker("volume", "inspect", "named");
  });

  it("an anonymous volume gets a name of 64 digits, and goes with its container", async () => {
    const calls = await shared.expectCalls("G C", () =>
      shared.docker("create", "--name", "one", "--volume-driver=lagan", "-v", "/anon", "busybox"),
    );
    expect(calls[1]?.request).toEqual({
      Name: expect.stringMatching(/^[0-9a-f]{64}$/),
      Opts: null,
    });
    await shared.expectCalls("G G R", () => shared.docker("rm", "-v", "one"));
    await shared.expectCalls("G C G M G U G G R", () =>
      shared.docker(
        ...["run", "--rm", "--network=none", "--volume-driver=lagan", "-v", "/anon"],
        ...["busybox", "touch", "/anon/file"],
      ),
    );
  });

  it("an image's VOLUME becomes an anonymous volume of ours with --volume-driver", async () => {
    await shared.expectCalls("G C G M G U", () =>
      shared.docker("create", "--name", "one", "--volume-driver=lagan", "seeded"),
    );
    await shared.expectCalls("G M G U", () => shared.docker("start", "one"));
    await shared.expectCalls("G G R", () => shared.docker("rm", "-v", "one"));
  });

  it("an anonymous volume whose removal fails stays behind, and the container goes", async () => {
    await shared.docker(
      "create",
      "--name",
      "one",
      "--volume-driver=lagan",
      "-v",
      "/anon",
      "busybox",
    );
    const name = await shared.docker("inspect", "-f", "{{range .Mounts}}{{.Name}}{{end}}", "one");
    shared.recorder.once("Remove", { do: "answer", status: 500, body: '{"Err":"not now"}' });
    await shared.expectCalls("G G R", () => shared.docker("rm", "-v", "one"));
    await shared.docker("volume", "rm", name);
  });

  it("--volumes-from asks at create and mounts under IDs of its own at start", async () => {
    await create("lent");
    const first = await shared.expectCalls("G G M", () => start("owner", "lent:/v"));
    await shared.expectCalls("G", () =>
      shared.docker("create", "--name", "borrower", "--volumes-from", "owner", ...sleep),
    );
    const second = await shared.expectCalls("G M", () => shared.docker("start", "borrower"));
    expect(mountIds(second, "Mount")).not.toEqual(mountIds(first, "Mount"));
  });

  it("a working directory inside the volume costs one more mount at create", async () => {
    await create("work");
    const calls = await shared.expectCalls("G G M G U", () =>
      shared.docker("create", "-v", "work:/w", "-w", "/w/deep", "busybox"),
    );
    expect(mountIds(calls, "Mount")).toEqual(mountIds(calls, "Unmount"));
  });
});
