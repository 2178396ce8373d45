import { readFileSync } from "node:fs";
import { describe, expect, it, vi } from "vitest";
import { eventually, type Outcome } from "./command.ts";
import { loadBusybox } from "./images.ts";
import { BTRFS_POOL } from "./lagand.ts";
import { findLoops } from "./leftovers.ts";
import { Machine } from "./machine.ts";
import { removeContainers, startRecordedMachine } from "./recorded-machine.ts";
import { callPlugin, type PluginAnswer } from "./unix-http.ts";

/*
 * The trap of mount IDs: after a crash an engine sends the same ID again, with live-restore it may never send an Unmount,
 * and `docker cp` sends the ID of the running container. Whatever it sends, a volume is never taken from under a
 * running container, and never stays busy for ever.
 */

/** lagand believes an announced mount for a minute before it looks whether any process has it. */
const AT_LAST_MS = 100_000;
const TEST_MS = 240_000;

// Most of these wait out that minute; they do it together.
vi.setConfig({ maxConcurrency: 8 });

/** A machine whose container `writer` adds lines to a log in the volume `data` without a pause. */
class Writing {
  readonly host: Machine;
  /** Id of the container. */
  readonly id: string;
  readonly #logFile: string;

  private constructor(host: Machine, id: string, mountpoint: string) {
    this.host = host;
    this.id = id;
    this.#logFile = host.namespace.inside(`${mountpoint}/log`);
  }

  /** On a machine whose engine and lagand run. */
  static async begin(host: Machine): Promise<Writing> {
    await host.mustDocker("volume", "create", "-d", "lagan", "data");
    const loop = "while :; do i=$((i+1)); echo line $i >>/v/log; usleep 20000; done";
    const id = await host.mustDocker(
      ...["run", "-d", "--network=none", "--stop-signal=KILL", "--name", "writer"],
      ...["-v", "data:/v", "busybox", "sh", "-c", loop],
    );
    const format = "{{.Mountpoint}}";
    const writing = new Writing(
      host,
      id,
      await host.mustDocker("volume", "inspect", "-f", format, "data"),
    );
    await writing.goesOn();
    return writing;
  }

  get lines(): number {
    return readFileSync(this.#logFile, "utf8").split("\n").length;
  }

  /** Waits for more lines: the container writes, and what it writes arrives in the volume. */
  async goesOn(): Promise<void> {
    const before = await eventually("the log is there", () => {
      try {
        return this.lines;
      } catch {
        return undefined;
      }
    });
    await eventually("the writer goes on", () => this.lines > before + 3);
  }

  /** What an engine, or anything else, gets that wants the volume gone. */
  remove(): Promise<PluginAnswer> {
    const socket = this.host.lagand.pluginSocketPath;
    return callPlugin(socket, "/VolumeDriver.Remove", { Name: "data" });
  }

  /** Refused because of the container that has it, whatever was announced. */
  async expectRemovalRefused(): Promise<void> {
    const before = this.lines;
    const { status, json } = await this.remove();
    expect(status).toBe(500);
    expect(json?.["Err"]).toContain(
      `Cannot remove volume "data": it is in use by container ${this.id.slice(0, 12)}`,
    );
    expect(this.lines).toBeGreaterThanOrEqual(before);
  }

  /** Removes the container and waits until the engine may remove the volume. */
  async expectRemovableAtLast(): Promise<void> {
    await removeContainers(this.host);
    let last: Outcome | undefined;
    await eventually(
      "the volume can be removed",
      async () => {
        last = await this.host.docker("volume", "rm", "data");
        return last.code === 0;
      },
      { timeoutMs: AT_LAST_MS, everyMs: 1_000 },
    ).catch((thrown: unknown) => {
      throw new Error(`${String(thrown)}; ${last?.stderr}`);
    });
    const listed = await this.host.mustDocker("volume", "ls", "-q");
    expect(listed).not.toMatch(/^data$/m);
  }
}

/** Loop devices and mounts that the machine has for its pools. */
async function holdings(host: Machine): Promise<unknown> {
  const { stdout } = await host.run(["cat", "/proc/self/mountinfo"]);
  const pools = stdout.split("\n").filter((line) => line.includes(host.path("state")));
  return { loops: findLoops(host.namespace.name), pools };
}

type Victim = "dockerd" | "lagand" | "both" | "lagand, in order";

const MATRIX = (["dockerd", "lagand", "both", "lagand, in order"] satisfies Victim[]).flatMap(
  (victim) => [true, false].map((liveRestore) => ({ victim, liveRestore })),
);

describe.concurrent("the end of a daemon under a running writer", { timeout: TEST_MS }, () => {
  it.for(MATRIX)("$victim, live-restore $liveRestore", async ({ victim, liveRestore }, context) => {
    await using host = await Machine.create();
    await host.lagand.start({ config: BTRFS_POOL });
    await host.engine.start({ liveRestore });
    await loadBusybox(host);
    const writing = await Writing.begin(host);
    const held = await holdings(host);
    const [engineDies, lagandDies] = [
      victim === "dockerd" || victim === "both",
      victim !== "dockerd",
    ];

    if (engineDies) await host.engine.kill();
    if (victim === "lagand, in order") await host.lagand.stop();
    else if (lagandDies) await host.lagand.kill();
    await writing.goesOn();
    if (!lagandDies) await writing.expectRemovalRefused();
    if (!engineDies) await host.mustDocker("exec", "writer", "tail", "-n", "1", "/v/log");

    if (lagandDies) await host.lagand.start();
    await writing.goesOn();
    await writing.expectRemovalRefused();
    context.expect(await holdings(host)).toEqual(held);

    if (engineDies) await host.engine.start();
    if (engineDies && !liveRestore) await host.mustDocker("start", "writer");
    await writing.goesOn();
    const source = await host.namespace.write("copied.txt", "copied\n");
    await host.mustDocker("cp", source, "writer:/v/");
    await writing.expectRemovalRefused();
    context.expect(await host.mustDocker("exec", "writer", "cat", "/v/copied.txt")).toBe("copied");

    await writing.expectRemovableAtLast();
    context.expect(await holdings(host)).toEqual(held);
  });

  it("cp to a running container leaves the volume to it, and so does one Unmount too many", async () => {
    await using machine = await startRecordedMachine();
    const writing = await Writing.begin(machine.host);
    machine.recorder.take();
    for (const name of ["one", "two"]) {
      const source = await machine.host.namespace.write(name, name);
      await machine.host.mustDocker("cp", source, "writer:/v/");
    }
    await writing.expectRemovalRefused();
    const socket = machine.host.path("plugins/lagan.sock");
    for (const { request } of machine.recorder.calls.filter(
      (call) => call.endpoint === "Unmount",
    )) {
      expect((await callPlugin(socket, "/VolumeDriver.Unmount", request)).status).toBe(200);
    }
    await writing.expectRemovalRefused();
    await writing.goesOn();
    await machine.host.mustDocker("rm", "-f", "writer");
    // Every mount was taken back, so there is nothing to wait for.
    await machine.host.mustDocker("volume", "rm", "data");
  });

  it("an engine that forgets the ID, and never unmounts, does not keep the volume busy", async () => {
    await using machine = await startRecordedMachine();
    const { host, recorder } = machine;
    await host.engine.restart({ liveRestore: true });
    const writing = await Writing.begin(host);
    await host.engine.restart();
    await host.mustDocker("cp", "writer:/v/log", host.path("log"));
    recorder.take();
    await host.mustDocker("stop", "writer");
    await writing.expectRemovableAtLast();
    // The premise: if a later engine does unmount, this test no longer tests what it says.
    const unmounts = recorder.calls.filter(({ endpoint }) => endpoint === "Unmount");
    expect(unmounts).toEqual([]);
  });

  it("an Unmount that never arrives does not keep the volume busy", async () => {
    await using machine = await startRecordedMachine();
    const writing = await Writing.begin(machine.host);
    machine.recorder.always("Unmount", { do: "answer", status: 500, body: '{"Err":"not now"}' });
    await machine.host.mustDocker("rm", "-f", "writer");
    machine.recorder.behave();
    await writing.expectRemovableAtLast();
  });
});
