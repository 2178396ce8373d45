import { z } from "zod";
import { Failure } from "../core/failure.ts";
import {
  type ContainerDetails,
  type ContainerExec,
  ENGINE_START_TIMEOUT_MS,
  ENGINE_TIMEOUT_MS,
  type Engine,
  type EngineContainer,
  type EngineSettings,
  type EngineVolume,
} from "../core/ports/engine.ts";
import { type ApiAnswer, DockerApi } from "./docker-api.ts";
import { DockerExec } from "./docker-exec.ts";

/** How long a container may take to end when nobody says; Docker's own default, in milliseconds. */
const STOP_TIMEOUT_MS = 10_000;
/** The longest that is waited for a container that may take for ever (`--stop-timeout=-1`), in milliseconds. */
const STOP_TIMEOUT_LIMIT_MS = 600_000;
/** How long the engine may take beyond that for the kill and for unmounting, in milliseconds. */
const STOP_MARGIN_MS = 30_000;

// Of Docker's API (docs.docker.com/reference/api/engine), what is read here; every version since 1.25 has it.
const CONTAINERS = z.array(
  z.object({ Id: z.string(), Names: z.array(z.string()).nullish(), State: z.string() }),
);
const VOLUMES = z.object({
  Volumes: z.array(z.object({ Name: z.string(), Driver: z.string() })).nullish(),
});
const VERSION = z.object({
  Version: z.string(),
  Components: z.array(z.object({ Name: z.string() })).nullish(),
});
const INFO = z.object({
  Driver: z.string(),
  DriverStatus: z.array(z.tuple([z.string(), z.string()])).nullish(),
  Plugins: z.object({ Volume: z.array(z.string()).nullish() }).nullish(),
});
const CONTAINER = z.object({
  Id: z.string(),
  Name: z.string(),
  State: z.object({
    Running: z.boolean(),
    Paused: z.boolean(),
    Restarting: z.boolean().nullish(),
    StartedAt: z.string(),
  }),
  Config: z.object({
    Labels: z.record(z.string(), z.string()).nullish(),
    StopTimeout: z.number().nullish(),
  }),
  HostConfig: z.object({ AutoRemove: z.boolean().nullish() }),
  Mounts: z
    .array(z.object({ Type: z.string(), Name: z.string().nullish(), Driver: z.string().nullish() }))
    .nullish(),
});

/** States in which a container has processes. */
const RUNNING: ReadonlySet<string> = new Set(["running", "paused", "restarting"]);

/** An engine that speaks Docker's API on a unix socket: Docker itself, or Podman's service. */
export class DockerEngine implements Engine {
  readonly address: string;
  readonly #api: DockerApi;

  /** @param address `unix:///PATH`. */
  constructor(address: string) {
    this.address = address;
    this.#api = new DockerApi(address);
  }

  async listContainers(
    volumeName: string,
    signal: AbortSignal,
  ): Promise<readonly EngineContainer[]> {
    const filters = encodeURIComponent(JSON.stringify({ volume: [volumeName] }));
    const listed = await this.#ask(`/containers/json?all=1&filters=${filters}`, CONTAINERS, signal);
    return listed.map(({ Id, Names, State }) => ({
      id: Id,
      name: (Names?.[0] ?? Id).replace(/^\//, ""),
      running: RUNNING.has(State),
    }));
  }

  async listVolumes(signal: AbortSignal): Promise<readonly EngineVolume[]> {
    const { Volumes } = await this.#ask("/volumes", VOLUMES, signal);
    return (Volumes ?? []).map(({ Name, Driver }) => ({ name: Name, driver: Driver }));
  }

  async settings(signal: AbortSignal): Promise<EngineSettings> {
    const { Version, Components } = await this.#ask("/version", VERSION, signal);
    const { Driver, DriverStatus, Plugins } = await this.#ask("/info", INFO, signal);
    const podman = (Components ?? []).some(({ Name }) => Name.startsWith("Podman"));
    return {
      product: podman ? "other" : "docker",
      version: Version,
      storageDriver: Driver,
      driverType: (DriverStatus ?? []).find(([key]) => key === "driver-type")?.[1] ?? "",
      volumePlugins: Plugins?.Volume ?? [],
    };
  }

  async inspect(id: string, signal: AbortSignal): Promise<ContainerDetails | undefined> {
    try {
      return detailsOf(await this.#ask(`/containers/${id}/json`, CONTAINER, signal));
    } catch (thrown) {
      if (thrown instanceof Failure && thrown.code === "not_found") return undefined;
      throw thrown;
    }
  }

  async stop(
    id: string,
    { timeoutMs }: { readonly timeoutMs: number },
    signal: AbortSignal,
  ): Promise<void> {
    const path = `/containers/${id}/stop?t=${Math.ceil(timeoutMs / 1_000)}`;
    await this.#tell(id, "stop", path, timeoutMs + STOP_MARGIN_MS, signal);
  }

  async start(id: string, signal: AbortSignal): Promise<void> {
    await this.#tell(id, "start", `/containers/${id}/start`, ENGINE_START_TIMEOUT_MS, signal);
  }

  async pause(id: string, signal: AbortSignal): Promise<void> {
    await this.#freeze(id, "pause", "paused", signal);
  }

  async unpause(id: string, signal: AbortSignal): Promise<void> {
    await this.#freeze(id, "unpause", "running", signal);
  }

  exec(
    id: string,
    argv: readonly string[],
    { timeoutMs }: { readonly timeoutMs: number },
    signal: AbortSignal,
  ): Promise<ContainerExec> {
    return new DockerExec(this.#api, id).run(argv, timeoutMs, signal);
  }

  /** The engine refuses to pause what is paused: then what was wanted is there already. */
  async #freeze(
    id: string,
    verb: "pause" | "unpause",
    wanted: ContainerDetails["state"],
    signal: AbortSignal,
  ): Promise<void> {
    try {
      await this.#tell(id, verb, `/containers/${id}/${verb}`, ENGINE_TIMEOUT_MS, signal);
    } catch (thrown) {
      const { code } = Failure.from(thrown);
      if (code !== "failed_precondition") throw thrown;
      const state = (await this.inspect(id, signal))?.state;
      if (state !== wanted && !(verb === "unpause" && state === "stopped")) throw thrown;
    }
  }

  /** 304 means that it was so already. */
  async #tell(
    id: string,
    verb: string,
    path: string,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<void> {
    const answer = await this.#api.call({ method: "POST", path, timeoutMs }, signal);
    // Podman answers 200 here and there.
    if ([200, 204, 304].includes(answer.status)) return;
    throw this.#api.refusal(`${verb} container ${id.slice(0, 12)}`, answer);
  }

  async #ask<T>(path: string, schema: z.ZodType<T>, signal: AbortSignal): Promise<T> {
    const answer = await this.#api.call(
      { method: "GET", path, timeoutMs: ENGINE_TIMEOUT_MS },
      signal,
    );
    if (answer.status === 404) throw this.#api.refusal("find it", answer);
    return this.#parse(answer, schema);
  }

  #parse<T>({ status, text }: ApiAnswer, schema: z.ZodType<T>): T {
    try {
      if (status !== 200) throw new Error(`status ${status}: ${text.slice(0, 200)}`);
      return schema.parse(JSON.parse(text));
    } catch (cause) {
      throw this.#api.noAnswer(cause);
    }
  }
}

function detailsOf(container: z.infer<typeof CONTAINER>): ContainerDetails {
  const { State, Config, HostConfig, Mounts } = container;
  const timeoutMs = (Config.StopTimeout ?? STOP_TIMEOUT_MS / 1_000) * 1_000;
  return {
    id: container.Id,
    name: container.Name.replace(/^\//, ""),
    state: stateOf(State),
    startedAt: Math.max(0, Date.parse(State.StartedAt) || 0),
    labels: Config.Labels ?? {},
    stopTimeoutMs:
      timeoutMs < 0 ? STOP_TIMEOUT_LIMIT_MS : Math.min(timeoutMs, STOP_TIMEOUT_LIMIT_MS),
    removedWhenStopped: HostConfig.AutoRemove ?? false,
    volumes: (Mounts ?? []).flatMap(({ Type, Name, Driver }) =>
      Type === "volume" && Name ? [{ name: Name, driver: Driver ?? "" }] : [],
    ),
  };
}

function stateOf(state: z.infer<typeof CONTAINER>["State"]): ContainerDetails["state"] {
  if (state.Paused) return "paused";
  return state.Running || state.Restarting ? "running" : "stopped";
}
