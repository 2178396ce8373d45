import { describe, expect, it } from "vitest";
import { eventually } from "./command.ts";
import { GraphMachine, ON_LAGAN } from "./graph-machine.ts";

/* Either end of the plugin's socket goes away, in order or not, while containers run on lagan's layers. */

const machine = new GraphMachine();
const docker = (...args: readonly string[]) => machine.docker(...args);

/** A container that runs and has written `/file`. */
async function start(): Promise<void> {
  await machine.importBusybox();
  const argv = ["run", "-d", "--network=none", "--stop-timeout=1", "--name", "web", "busybox"];
  await docker(...argv, "sleep", "1000");
  await docker("exec", "web", "sh", "-c", "echo kept >/file");
  expect(machine.mounts()).toHaveLength(1);
}

/** The container works after all, and leaves nothing when it goes (see `GraphMachine`). */
async function expectWhole(): Promise<void> {
  await docker("start", "web");
  expect(await docker("exec", "web", "cat", "/file")).toBe("kept");
  expect(await docker("diff", "web")).toBe("A /file");
  expect(machine.mounts()).toHaveLength(1);
  await docker("stop", "-t", "0", "web");
  expect(machine.mounts()).toEqual([]);
  expect(await docker("diff", "web")).toBe("A /file");
  expect(machine.mounts()).toEqual([]);
}

describe("containers on lagan's layers", () => {
  it("go on through a restart and a crash of lagand, and stop as if nothing had been", async () => {
    await start();
    await machine.host.lagand.crash();
    expect(await docker("exec", "web", "cat", "/file")).toBe("kept");
    await docker("cp", "web:/file", machine.host.path("file"));
    await machine.host.lagand.stop();
    await machine.host.lagand.start();
    expect(await docker("exec", "web", "cat", "/file")).toBe("kept");
    await docker("stop", "-t", "0", "web");
    expect(machine.mounts()).toEqual([]);
    await expectWhole();
  });

  it("stop and start again with their engine", async () => {
    await start();
    await machine.host.engine.stop();
    expect(machine.mounts()).toEqual([]);
    await machine.host.engine.start();
    await expectWhole();
  });

  it("are found by an engine that crashed, and leave no mount", async () => {
    await start();
    await machine.host.engine.crash();
    await eventually("the container is seen to have ended", async () =>
      (await docker("ps", "-a", "--format", "{{.Status}}")).startsWith("Exited"),
    );
    await eventually("its mount is gone", () => machine.mounts().length === 0);
    await expectWhole();
  });

  it("go on while an engine with live-restore crashes, and lagand with it", async () => {
    await start();
    await machine.host.engine.crash({ ...ON_LAGAN, liveRestore: true });
    await docker("start", "web");
    await machine.host.engine.kill();
    await machine.host.lagand.crash();
    await machine.host.engine.start();
    expect(await docker("exec", "web", "cat", "/file")).toBe("kept");
    expect(machine.mounts()).toHaveLength(1);
    await docker("stop", "-t", "0", "web");
    expect(machine.mounts()).toEqual([]);
    await machine.host.engine.restart(ON_LAGAN);
    await expectWhole();
  });

  it("are not harmed by a lagand that dies while an image is loaded: the load fails, and works again", {
    timeout: 180_000,
  }, async () => {
    await start();
    await docker("exec", "web", "dd", "if=/dev/urandom", "of=/large", "bs=1M", "count=64");
    await docker("commit", "web", "large");
    const saved = machine.host.path("large.tar");
    await docker("save", "-o", saved, "large");
    await docker("rmi", "large");
    const load = machine.host.docker("load", "-i", saved);
    await eventually("a layer is being filled", () => machine.mounts().length > 1, {
      everyMs: 1,
    });
    await machine.host.lagand.crash();
    const outcome = await load;
    // It may have been quicker than the crash.
    if (outcome.code !== 0) await docker("load", "-i", saved);
    expect(await machine.sh("large", "cat /file; wc -c </large")).toBe("kept\n67108864");
    expect(await docker("exec", "web", "cat", "/file")).toBe("kept");
    await docker("rmi", "large");
  });
});
