import { mkdir, realpath } from "node:fs/promises";
import { flushCompileCache } from "node:module";
import type { Server } from "node:net";
import { hostname } from "node:os";
import { join } from "node:path";
import { Command, Option } from "commander";
import type { FastifyInstance } from "fastify";
import { containerdDoor } from "../api/containerd/server.ts";
import { graphFace } from "../api/docker-graph/face.ts";
import { volumeFace } from "../api/docker-volume/face.ts";
import { restApp } from "../api/rest/server.ts";
import { dockerPluginApp } from "../api/shared/docker-plugin.ts";
import { grpcDoor } from "../api/shared/grpc-door.ts";
import { RequestMetrics } from "../api/shared/request-metrics.ts";
import { traceId } from "../api/shared/trace.ts";
import { Failure } from "../core/failure.ts";
import type { Log } from "../core/ports/log.ts";
import type { Store } from "../core/ports/store.ts";
import { VERSION } from "../core/version.ts";
import { poolMaker } from "../drivers/index.ts";
import { hostArchive } from "../host/archive.ts";
import { hostCallerFiles } from "../host/caller-files.ts";
import { systemClock } from "../host/clock.ts";
import { type Config, type ConfigOverrides, readConfig } from "../host/config.ts";
import { DockerEngine } from "../host/docker-engine.ts";
import { endProcess } from "../host/end-process.ts";
import { hostExec } from "../host/exec.ts";
import { hostFiles } from "../host/files.ts";
import { hostHash } from "../host/hash.ts";
import { hostImageSources } from "../host/image-sources.ts";
import { hostKernel } from "../host/kernel.ts";
import { hostLayerTar } from "../host/layer-tar.ts";
import { openLog } from "../host/log.ts";
import { systemRandom } from "../host/random.ts";
import {
  activatedSockets,
  listenOnFd,
  listenOnPath,
  type SocketAccess,
  socketPathOf,
} from "../host/sockets.ts";
import { hostTreeDiff } from "../host/tree-diff.ts";
import { buildNode, DRIVER_NAME, type ImagePorts, type NodeSettings } from "../services/node.ts";
import type { Services } from "../services/services.ts";
import { SqliteStore } from "../stores/sqlite/store.ts";
import { buildGraph } from "./graph.ts";

/** How long a graceful stop waits for requests under way, in milliseconds. */
const STOP_TIMEOUT_MS = 10_000;
/** How long after a signal the process ends whatever it waits for, such as a dead disk; in milliseconds. */
const END_TIMEOUT_MS = 15_000;

/*
 * The daemon, read from top to bottom: configuration, store, parts, pools, doors. Nothing listens before
 * all of it is sure; whoever connects earlier is held by systemd's socket and waits.
 */
async function main(): Promise<void> {
  const { file, overrides, csiEndpoint } = parseArguments();
  const config = await readConfig(file, overrides);
  const log = openLog(config.logLevel, traceId);
  const stop = stopOnSignal();
  const poolsDir = join(config.stateDir, "pools");
  await mkdir(poolsDir, { recursive: true, mode: 0o700 });
  await mkdir(config.runDir, { recursive: true, mode: 0o755 });
  const clock = systemClock;
  const store = await SqliteStore.open({ path: join(config.stateDir, "store.db"), clock });
  const runtime = await SqliteStore.open({
    path: join(config.runDir, "mounts.db"),
    clock,
    durability: "process",
  });
  void endWithStore(store, log, stop.signal);
  const node = buildNode(
    {
      ...{ store, runtime, log },
      maker: poolMaker(await realpath(poolsDir), {
        kernel: hostKernel,
        exec: hostExec,
        files: hostFiles,
      }),
      kernel: hostKernel,
      files: hostFiles,
      engines: config.engines.map((address) => new DockerEngine(address)),
      ...{ clock, random: systemRandom, images: imagePorts(config.stateDir) },
    },
    await settingsOf(config),
  );
  const { services, shadows, housekeeping } = node;
  await node.start(stop.signal);

  const onActivate = () => {
    void shadows.report(stop.signal).catch((thrown: unknown) => {
      log.warn("shadows not looked for", { error: thrown });
    });
  };
  const metrics = new RequestMetrics();
  const trees = {
    archive: hostArchive,
    treeDiff: hostTreeDiff,
    callerFiles: hostCallerFiles,
  };
  const rest = restApp({ services, ...trees, log, version: VERSION, signal: stop.signal, metrics });
  const onCall = () => shadows.engineCalled();
  const graph = await buildGraph(services, { runDir: config.runDir, runtime, log });
  const faces = [volumeFace({ services }), graphFace({ graph, log })];
  const docker = dockerPluginApp({ faces, log, onActivate, onCall }, stop.signal);
  metrics.count(docker, "docker-plugin");
  await Promise.all([rest.ready(), docker.ready()]);
  const containerd = containerdDoor({ ...services, log });
  const doors = await Promise.all([
    openDoor(containerd, "snapshots", join(config.runDir, "snapshots.sock"), { mode: 0o600 }),
    openDoor(httpDoor(rest), "rest", join(config.runDir, "lagan.sock"), {
      mode: 0o660,
      group: "lagan",
    }),
    openDoor(
      httpDoor(docker),
      "docker-plugin",
      join(config.dockerPluginDir, `${DRIVER_NAME}.sock`),
      {
        mode: 0o600,
      },
    ),
  ]);
  const csiPath = csiEndpoint ? socketPathOf(csiEndpoint) : join(config.runDir, "csi.sock");
  doors.push(await openCsi(services, config, csiPath, log, stop.signal));
  log.info("ready", { stateDir: config.stateDir, pools: services.pools.names() });
  flushCompileCache();
  await housekeeping.run(stop.signal);

  // Mounts and pools stay as they are: containers go on, and the next daemon finds everything in place.
  log.info("stopping");
  await Promise.all(doors.map((close) => close()));
  await Promise.all([store.close(), runtime.close()]);
  log.info("stopped");
  endProcess(0);
}

/** Its code is loaded with the first client. */
function openCsi(
  services: Services,
  { csi, defaultPool }: Config,
  path: string,
  log: Log,
  signal: AbortSignal,
): Promise<() => Promise<void>> {
  const settings = { ...csi, node: csi.node ?? hostname() };
  const door = grpcDoor(async () => {
    const { csiServices } = await import("../api/csi/server.ts");
    const { giveToGroup } = await import("../host/group-owner.ts");
    const parts = { services, settings, defaultPool, version: VERSION, log, signal };
    return csiServices({ ...parts, giveToGroup, realDirectory });
  }, log);
  return openDoor(door, "csi", path, { mode: 0o600 });
}

/** The directory without symbolic links; undefined when there is none. */
function realDirectory(path: string): Promise<string | undefined> {
  return realpath(path).catch(() => undefined);
}

function imagePorts(stateDir: string): ImagePorts {
  const sources = hostImageSources(join(stateDir, "images"));
  return { sources, layerTar: hostLayerTar, archive: hostArchive, hash: hostHash };
}

/** Aborts when the daemon is to end. */
function stopOnSignal(): AbortController {
  const stop = new AbortController();
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    process.once(name, () => {
      stop.abort(new Failure("unavailable", "The daemon is stopping"));
      // Nothing is lost by it: what was acknowledged is on the disk, the rest is carried on at the next start.
      setTimeout(() => endProcess(0), END_TIMEOUT_MS).unref();
    });
  }
  return stop;
}

async function settingsOf(config: Config): Promise<NodeSettings> {
  const { runDir } = config;
  const mountsDirectory = join(await realpath(runDir), "mounts");
  return { ...config, mountsDirectory, snapshotsSocket: join(runDir, "snapshots.sock") };
}

/**
 * Ends the process when the store has failed: what it had acknowledged is on the disk, what it had not is unknown,
 * and only a new start that reads the file back can tell.
 */
async function endWithStore(store: Store, log: Log, signal: AbortSignal): Promise<void> {
  try {
    for await (const _ of store.watch("pools/", {}, signal));
  } catch (thrown) {
    log.error("the store has failed; ending, to read it back at the next start", { error: thrown });
    endProcess(1);
  }
}

/** Opens a door on the socket that systemd holds for it, else on one of our own. Returns what closes it. */
async function openDoor(
  { server, close }: Door,
  name: string,
  path: string,
  access: SocketAccess,
): Promise<() => Promise<void>> {
  const fd = activatedSockets(process.env).get(name);
  let forget = async (): Promise<void> => undefined;
  if (fd === undefined) forget = await listenOnPath(server, path, access);
  else await listenOnFd(server, fd);
  return async () => {
    await close();
    await forget();
  };
}

/** What clients come in by. */
interface Door {
  readonly server: Server;
  /** Lets requests under way end for a while, and closes the rest. */
  readonly close: () => Promise<void>;
}

function httpDoor(app: FastifyInstance): Door {
  return {
    server: app.server,
    close: async () => {
      const forced = setTimeout(() => app.server.closeAllConnections(), STOP_TIMEOUT_MS);
      await app.close();
      clearTimeout(forced);
    },
  };
}

function parseArguments(): {
  file: string | undefined;
  overrides: ConfigOverrides;
  csiEndpoint: string | undefined;
} {
  const path = (name: string, environment: string, what: string): Option =>
    new Option(`--${name} <path>`, what).env(environment);
  const command = new Command("lagand")
    .description("Lagan's daemon: storage for containers that outlives them")
    .version(VERSION)
    .addOption(path("config", "LAGAN_CONFIG", "configuration (default: /etc/lagan/lagan.yaml)"))
    .addOption(path("state-dir", "LAGAN_STATE_DIR", "store and pools (default: /var/lib/lagan)"))
    .addOption(path("run-dir", "LAGAN_RUN_DIR", "sockets (default: /run/lagan)"))
    .addOption(
      path(
        "docker-plugin-dir",
        "LAGAN_DOCKER_PLUGIN_DIR",
        "where Docker looks for plugins (default: /run/docker/plugins)",
      ),
    )
    .addOption(
      new Option(
        "--csi-endpoint <unix:///path>",
        "socket for CSI clients (default: csi.sock in the run directory)",
      ).env("CSI_ENDPOINT"),
    )
    .option("--engine <unix://path...>", "engine to ask about containers; again for more")
    .addOption(
      new Option("--log-level <level>", "how much to log").choices([
        "debug",
        "info",
        "warn",
        "error",
      ]),
    )
    .parse();
  const { config, stateDir, runDir, dockerPluginDir, csiEndpoint, engine, logLevel } =
    command.opts();
  const given = { stateDir, runDir, dockerPluginDir, engines: engine, logLevel };
  return {
    file: config,
    csiEndpoint,
    overrides: Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  };
}

main().catch((thrown: unknown) => {
  process.stderr.write(`lagand: ${lineOf(thrown)}\n`);
  process.exit(1);
});

/** A stack only for what must be a bug of ours: what the machine says of a file is a sentence by itself. */
function lineOf(thrown: unknown): string {
  if (thrown instanceof Failure) return thrown.message;
  if (!(thrown instanceof Error)) return String(thrown);
  return "errno" in thrown ? `Cannot start: ${thrown.message}` : (thrown.stack ?? thrown.message);
}
