import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { listenOnPath, socketPathOf } from "./sockets.ts";

describe("a socket of ours (point 2 of what a CSI driver must get right)", () => {
  const servers: Server[] = [];
  let directory: string;
  let path: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "lagan-socket-"));
    path = join(directory, "csi.sock");
  });
  afterEach(async () => {
    for (const server of servers.splice(0)) await new Promise((done) => server.close(done));
    await rm(directory, { recursive: true });
  });
  const listen = () => {
    const server = createServer();
    servers.push(server);
    return listenOnPath(server, path, { mode: 0o600 });
  };

  it("is for its owner alone, and the only thing that stays in its directory", async () => {
    const takeAway = await listen();
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(directory)).toEqual(["csi.sock"]);
    await takeAway();
    expect(await readdir(directory)).toEqual([]);
  });

  it("takes the place of one that a killed process left, not of one that somebody answers", async () => {
    const script = `require("node:net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
    spawnSync(process.execPath, ["-e", script]);
    expect((await stat(path)).isSocket()).toBe(true);
    await listen();
    const { ino } = await stat(path);
    await expect(listen()).rejects.toMatchObject({ code: "failed_precondition" });
    expect((await stat(path)).ino).toBe(ino);
  });

  it("never takes the place of what is no socket", async () => {
    await writeFile(path, "theirs");
    await expect(listen()).rejects.toMatchObject({
      ...{ code: "failed_precondition", message: expect.stringContaining("no socket") },
    });
    expect(await readFile(path, "utf8")).toBe("theirs");
    expect(await readdir(directory)).toEqual(["csi.sock"]);
  });
});

it("takes an endpoint in every spelling that clients have (point 1)", () => {
  for (const endpoint of [
    "unix:///run/csi.sock",
    "unix:/run/csi.sock",
    "unix://run/csi.sock",
    "/run/csi.sock",
  ]) {
    expect(socketPathOf(endpoint), endpoint).toBe("/run/csi.sock");
  }
  for (const endpoint of [
    "",
    "unix:",
    "unix://",
    "/",
    "run/csi.sock",
    "unix:run",
    "tcp://1.2.3.4:5",
    "unix:///a\0b",
  ]) {
    expect(() => socketPathOf(endpoint), endpoint).toThrowError(
      expect.objectContaining({ code: "invalid_argument" }),
    );
  }
});
