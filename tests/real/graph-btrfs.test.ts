import { describe, expect, it } from "vitest";
import { GraphMachine } from "./graph-machine.ts";
import { BTRFS_POOL } from "./lagand.ts";

/* Layers in a pool whose driver clones: they lie beside the volumes, and containers have limits. */

const machine = new GraphMachine(BTRFS_POOL, "default");
const docker = (...args: readonly string[]) => machine.docker(...args);

describe("an engine's layers on btrfs", () => {
  it("are run, committed, saved and built on, and share their pool with volumes", async () => {
    await machine.importBusybox();
    expect(await docker("info", "-f", "{{json .DriverStatus}}")).toContain('["Driver","btrfs"]');
    const argv = ["run", "--network=none", "--name", "one", "-v", "data:/v"];
    const script = "echo kept >/v/file && echo own >/own && rm /etc/group";
    await docker(...argv, "--volume-driver", "lagan", "busybox", "sh", "-c", script);
    expect((await docker("diff", "one")).split("\n").sort()).toEqual(
      expect.arrayContaining(["A /own", "C /etc", "D /etc/group"]),
    );
    await docker("commit", "one", "first");
    const saved = machine.host.path("first.tar");
    await docker("save", "-o", saved, "first");
    await docker("rm", "one");
    await docker("rmi", "first", "busybox");
    await docker("load", "-i", saved);
    expect(await machine.sh("first", "cat /own; ls /etc")).toMatch(/^own\n/);
    expect(await machine.sh("first", "ls /etc")).not.toContain("group");
    const built = await machine.build("built", "buildkit", {
      Dockerfile: "FROM first\nRUN cat /own >/copied && rm /own\n",
    });
    expect(built).toContain("cat /own");
    expect(await machine.sh("built", "cat /copied; ls /own 2>&1 || true")).toMatch(
      /^own\n.*No such file/,
    );
    await docker("volume", "rm", "data");
    await machine.host.mustLagan("trash", "empty", "--force");
  });

  it("hold to the size that a container was given", async () => {
    await machine.importBusybox();
    const run = (megabytes: number) =>
      machine.host.docker(
        ...["run", "--rm", "--network=none", "--storage-opt", "size=20M", "busybox", "sh", "-c"],
        `dd if=/dev/urandom of=/file bs=1M count=${megabytes} && sync`,
      );
    expect(await run(10)).toMatchObject({ code: 0 });
    const refused = await run(40);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain("Disk quota exceeded");
  });
});
