import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { Plugin } from "../co/plugin.ts";
import { ScriptedDriver } from "../co/scripted-driver.ts";
import { Background } from "../real/background.ts";
import { eventually } from "../real/command.ts";

it("Nomad's CSI task hands the daemon's socket on, to the root user alone, and over one that was left", async () => {
  const directory = await mkdtemp(join(tmpdir(), "lagan-nomad-"));
  await using driver = await ScriptedDriver.start();
  const socketPath = join(directory, "csi.sock");
  const task = () =>
    new Background(["deploy/nomad/lagan-csi"], {
      env: {
        ...{ PATH: process.env["PATH"], CSI_ENDPOINT: `unix://${socketPath}` },
        LAGAN_CSI_SOCKET: driver.socketPath,
      },
      logFile: join(directory, "log"),
    });
  const plugin = new Plugin(socketPath);
  try {
    for (const signal of ["SIGKILL", "SIGTERM"] as const) {
      const running = task();
      try {
        driver.reply("nodeGetInfo", { nodeId: "node-1" });
        const facts = await plugin.facts({ withinMs: 10_000 });
        expect(facts.nodeInfo.nodeId).toBe("node-1");
        expect((await stat(socketPath)).mode & 0o777).toBe(0o600);
      } finally {
        await running.end(signal);
      }
      // What is left of the last connection ends with it.
      await eventually("the task is gone", () => !running.running);
    }
  } finally {
    plugin.close();
    await rm(directory, { recursive: true, force: true });
  }
});
