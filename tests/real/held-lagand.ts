import { mkdir, realpath } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { volumeFace } from "../../src/api/docker-volume/face.ts";
import { restApp } from "../../src/api/rest/server.ts";
import { dockerPluginApp } from "../../src/api/shared/docker-plugin.ts";
import { RequestMetrics } from "../../src/api/shared/request-metrics.ts";
import { Failure } from "../../src/core/failure.ts";
import { parseRef } from "../../src/core/history/ref.ts";
import { parseVolumeName } from "../../src/core/name.ts";
import { poolMaker } from "../../src/drivers/index.ts";
import { hostArchive } from "../../src/host/archive.ts";
import { hostCallerFiles } from "../../src/host/caller-files.ts";
import { systemClock } from "../../src/host/clock.ts";
import { readConfig } from "../../src/host/config.ts";
import { DockerEngine } from "../../src/host/docker-engine.ts";
import { hostExec } from "../../src/host/exec.ts";
import { hostFiles } from "../../src/host/files.ts";
import { hostKernel } from "../../src/host/kernel.ts";
import { openLog } from "../../src/host/log.ts";
import { systemRandom } from "../../src/host/random.ts";
import { listenOnPath } from "../../src/host/sockets.ts";
import { hostTreeDiff } from "../../src/host/tree-diff.ts";
import { buildNode } from "../../src/services/node.ts";
import { SqliteStore } from "../../src/stores/sqlite/store.ts";

/*
 * A lagand whose REST door has one call more, POST /test: it does what its body says, or begins it and stays in the
 * middle. So a test can kill it exactly there.
 */

/** Body of the call. */
export interface HeldCall {
  /** `hold`: the containers are held and nothing else is done, for ever. */
  readonly verb: "hold" | "snapshot" | "restore";
  readonly volume: string;
  readonly how?: "pause" | "stop";
  /** For a restore, the id of the snapshot. */
  readonly at?: string;
}

const { values } = parseArgs({
  options: Object.fromEntries(
    ["state-dir", "run-dir", "docker-plugin-dir", "config", "engine"].map((name) => [
      name,
      { type: "string" as const },
    ]),
  ),
});
const given = (name: string): string => String(values[name]);
const { signal } = new AbortController();
const log = openLog("info", () => "");
const config = await readConfig(given("config"), {
  stateDir: given("state-dir"),
  runDir: given("run-dir"),
  dockerPluginDir: given("docker-plugin-dir"),
  engines: [given("engine")],
});
const poolsDir = join(config.stateDir, "pools");
await mkdir(poolsDir, { recursive: true });
await mkdir(config.runDir, { recursive: true });
const clock = systemClock;
const open = (path: string) => SqliteStore.open({ path, clock });
const ports = { kernel: hostKernel, exec: hostExec, files: hostFiles };
const node = buildNode(
  {
    store: await open(join(config.stateDir, "store.db")),
    runtime: await open(join(config.runDir, "mounts.db")),
    maker: poolMaker(await realpath(poolsDir), ports),
    ...{ ...ports, clock, log, random: systemRandom },
    engines: config.engines.map((address) => new DockerEngine(address)),
  },
  { ...config, mountsDirectory: join(await realpath(config.runDir), "mounts") },
);
const { services } = node;
await node.start(signal);

const rest = restApp({
  archive: hostArchive,
  callerFiles: hostCallerFiles,
  treeDiff: hostTreeDiff,
  services,
  log,
  version: "0",
  signal,
  metrics: new RequestMetrics(),
});
rest.post("/test", async (request) => {
  const { verb, volume, how, at } = JSON.parse(String(request.body)) as HeldCall;
  const name = parseVolumeName(volume);
  switch (verb) {
    case "hold": {
      const { value } = await services.volumes.get(name);
      const options = { how, attempt: "hold" };
      return services.quiet.around([value], options, () => new Promise(() => undefined), signal);
    }
    case "snapshot": {
      const quiet = how === undefined ? {} : { quiet: how };
      return services.snapshots.create(name, { author: "test", ...quiet }, signal);
    }
    case "restore": {
      if (how === "pause") throw new Failure("invalid_argument", "Cannot pause for a restore");
      const quiet = how === undefined ? {} : { quiet: how };
      const ref = parseRef(`${volume}@${at}`);
      return services.restores.restore(name, ref, { author: "test", ...quiet }, signal);
    }
  }
});
const faces = [volumeFace({ services })];
const docker = dockerPluginApp(
  { faces, log, onActivate: () => undefined, onCall: () => undefined },
  signal,
);
await rest.ready();
await docker.ready();
await listenOnPath(rest.server, join(config.runDir, "lagan.sock"), { mode: 0o600 });
await listenOnPath(docker.server, join(config.dockerPluginDir, "lagan.sock"), { mode: 0o600 });
await node.housekeeping.run(signal);
