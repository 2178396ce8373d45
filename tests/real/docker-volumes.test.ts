import { mkdir, writeFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { eventually } from "./command.ts";
import { SEEDED_OWNER } from "./images.ts";
import { SharedMachine, startRecordedMachine } from "./recorded-machine.ts";

/* What people have of a volume: what it is like when it is new, that it outlives containers, and the ways to it. */

const shared = new SharedMachine();
const quiet = "--network=none";

/** Owner and permission bits of what `volume` has at `path`, as a container sees it. */
function statInside(volume: string, path: string): Promise<string> {
  return shared.docker(
    ...["run", "--rm", quiet, "-v", `${volume}:/v:nocopy`, "busybox"],
    ...["stat", "-c", "%u:%g %a", `/v${path}`],
  );
}

describe("what a new volume is like", () => {
  it("is empty, also for ls -A, and 0755 of root where nothing else was asked for", async () => {
    await shared.docker("volume", "create", "-d", "lagan", "plain");
    expect(
      await shared.docker("run", "--rm", quiet, "-v", "plain:/v", "busybox", "ls", "-A", "/v"),
    ).toBe("");
    expect(await statInside("plain", "")).toBe("0:0 755");
  });

  it("belongs to whom uid, gid and mode say, and that user can write", async () => {
    await shared.docker(
      ...["volume", "create", "-d", "lagan", "-o", "uid=1000", "-o", "gid=1000"],
      ...["-o", "mode=2770", "owned"],
    );
    expect(await statInside("owned", "")).toBe("1000:1000 2770");
    await shared.docker(
      ...["run", "--rm", quiet, "--user=1000", "-v", "owned:/v", "busybox", "touch", "/v/mine"],
    );
    expect(await statInside("owned", "/mine")).toMatch(/^1000:1000/);
  });

  it("takes over the image's content with owner, bits and links, once", async () => {
    await shared.docker("volume", "create", "-d", "lagan", "seed");
    const seeded = ["run", "--rm", quiet, "-v", "seed:/data", "seeded"];
    expect(await shared.docker(...seeded, "ls", "-A", "/data")).toBe("directory\nfile\nlink");
    expect(await shared.docker(...seeded, "readlink", "/data/link")).toBe("file");
    const { uid, gid, mode } = SEEDED_OWNER;
    expect(await statInside("seed", "")).toBe(`${uid}:${gid} ${mode.toString(8)}`);
    expect(await statInside("seed", "/file")).toMatch(new RegExp(`^${uid}:${gid} `));
    await shared.docker(...seeded, "rm", "/data/file");
    expect(await shared.docker(...seeded, "ls", "-A", "/data")).toBe("directory\nlink");
  });

  it("stays empty with nocopy, and takes the content over for a read-only mount", async () => {
    await shared.docker("volume", "create", "-d", "lagan", "bare");
    const list = (mode: string) =>
      shared.docker("run", "--rm", quiet, "-v", `bare:/data:${mode}`, "seeded", "ls", "/data");
    expect(await list("nocopy")).toBe("");
    expect(await list("ro")).toBe("directory\nfile\nlink");
  });
});

describe("the main job", () => {
  it("what one container wrote, another reads after the first is destroyed", async () => {
    await shared.docker("volume", "create", "-d", "lagan", "outlives");
    await shared.docker(
      ...["run", "-d", quiet, "--name", "writer", "-v", "outlives:/v", "busybox"],
      ...["sh", "-c", "echo precious >/v/file; sync; exec top"],
    );
    await eventually("written", async () => {
      const { stdout } = await shared.host.docker("exec", "writer", "cat", "/v/file");
      return stdout === "precious\n";
    });
    await shared.docker("rm", "-f", "writer");
    expect(
      await shared.docker("run", "--rm", quiet, "-v", "outlives:/v", "busybox", "cat", "/v/file"),
    ).toBe("precious");
  });

  it("two share it, one of them read-only", async () => {
    await shared.docker("volume", "create", "-d", "lagan", "common");
    const run = ["run", "-d", quiet];
    await shared.docker(...run, "--name", "writer", "-v", "common:/v", "busybox", "top");
    await shared.docker(...run, "--name", "reader", "-v", "common:/v:ro", "busybox", "top");
    await shared.docker("exec", "writer", "sh", "-c", "echo now >/v/file");
    expect(await shared.docker("exec", "reader", "cat", "/v/file")).toBe("now");
    const refused = await shared.host.docker("exec", "reader", "touch", "/v/other");
    expect(refused.stderr).toMatch(/Read-only file system/);
  });
});

describe("lagan beside the engine", () => {
  it("refuses to remove a volume that a stopped container has, and names it", async () => {
    await shared.docker("volume", "create", "-d", "lagan", "stopped");
    await shared.docker("create", "--name", "web", "-v", "stopped:/v", "busybox");
    const refused = await shared.host.lagan("volume", "rm", "stopped");
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toMatch(/in use by container web .*docker rm web/);
    await shared.docker("rm", "web");
    await shared.host.mustLagan("volume", "rm", "stopped");
    expect(await shared.docker("volume", "ls", "-q")).not.toMatch(/^stopped$/m);
  });

  it("gets a volume back that Docker removed, with what is in it", async () => {
    await shared.docker("volume", "create", "-d", "lagan", "back");
    const run = ["run", "--rm", quiet, "-v", "back:/v", "busybox"];
    await shared.docker(...run, "sh", "-c", "echo precious >/v/file");
    await shared.docker("volume", "rm", "back");
    await shared.host.mustLagan("trash", "restore", "back");
    expect(await shared.docker(...run, "cat", "/v/file")).toBe("precious");
  });

  it("makes a volume that Docker's containers find by name", async () => {
    await shared.host.mustLagan("volume", "create", "by-lagan");
    await shared.docker("run", "--rm", quiet, "-v", "by-lagan:/v", "busybox", "touch", "/v/file");
    expect(await shared.docker("volume", "inspect", "-f", "{{.Driver}}", "by-lagan")).toBe("lagan");
  });
});

describe("the ways in", () => {
  it("works through a .spec and a .json file of another name", async () => {
    await using machine = await startRecordedMachine();
    const { host } = machine;
    const address = `unix://${host.path("plugins/lagan.sock")}`;
    const specs = host.namespace.inside("/etc/docker/plugins");
    await mkdir(specs, { recursive: true });
    await writeFile(`${specs}/byspec.spec`, address);
    await writeFile(`${specs}/byjson.json`, JSON.stringify({ Name: "byjson", Addr: address }));
    for (const driver of ["byspec", "byjson"]) {
      await host.mustDocker("volume", "create", "-d", driver, `of-${driver}`);
      await host.mustDocker(
        ...["run", "--rm", quiet, "-v", `of-${driver}:/v`, "busybox", "touch", "/v/file"],
      );
    }
  });
});
