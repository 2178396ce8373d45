import { Failure } from "../core/failure.ts";
import type {
  ContainerDetails,
  ContainerExec,
  Engine,
  EngineContainer,
  EngineSettings,
  EngineVolume,
} from "../core/ports/engine.ts";

/** What a simulated container answers to a command. */
export type SimCommand = (argv: readonly string[], signal: AbortSignal) => Promise<ContainerExec>;

/** A container engine whose containers do what a test says, and which writes down what was asked of it. */
export class SimEngine implements Engine {
  readonly address: string;
  /** What was done, as `stop web`, in order. */
  readonly done: string[] = [];
  /** Called before each call with its words, such as `start web`; what it throws is the answer. */
  onCall: (call: string) => Promise<void> | void = () => undefined;
  readonly #containers = new Map<string, { details: ContainerDetails; command: SimCommand }>();

  constructor(address = "unix:///engine") {
    this.address = address;
  }

  /** Adds a container; it has run since `startedAt`, without anything else said. */
  add(
    name: string,
    given: Partial<ContainerDetails> & { readonly volume: string },
    command: SimCommand = async () => ({ exitCode: 0, output: "" }),
  ): string {
    const { volume, ...rest } = given;
    const id = rest.id ?? hash(name);
    const details: ContainerDetails = {
      ...{ name, state: "running", startedAt: 1, labels: {}, stopTimeoutMs: 10_000 },
      ...{ removedWhenStopped: false, volumes: [{ name: volume, driver: "lagan" }] },
      ...rest,
      id,
    };
    this.#containers.set(id, { details, command });
    return id;
  }

  /** State by name. */
  states(): Readonly<Record<string, ContainerDetails["state"]>> {
    return Object.fromEntries(
      [...this.#containers.values()].map(({ details }) => [details.name, details.state]),
    );
  }

  async listContainers(volumeName: string): Promise<readonly EngineContainer[]> {
    await this.onCall(`list ${volumeName}`);
    return [...this.#containers.values()]
      .filter(({ details }) => details.volumes.some(({ name }) => name === volumeName))
      .map(({ details: { id, name, state } }) => ({ id, name, running: state !== "stopped" }));
  }

  async listVolumes(): Promise<readonly EngineVolume[]> {
    return [...this.#containers.values()].flatMap(({ details }) => details.volumes);
  }

  async settings(): Promise<EngineSettings> {
    const docker = { product: "docker", version: "20.10.24", storageDriver: "overlay2" } as const;
    return { ...docker, driverType: "", volumePlugins: ["lagan", "local"] };
  }

  async inspect(id: string): Promise<ContainerDetails | undefined> {
    return this.#containers.get(id)?.details;
  }

  stop(id: string): Promise<void> {
    return this.#become(id, "stop", "stopped");
  }

  start(id: string): Promise<void> {
    return this.#become(id, "start", "running");
  }

  pause(id: string): Promise<void> {
    return this.#become(id, "pause", "paused");
  }

  unpause(id: string): Promise<void> {
    return this.#become(id, "unpause", "running");
  }

  async exec(
    id: string,
    argv: readonly string[],
    _options: { readonly timeoutMs: number },
    signal: AbortSignal,
  ): Promise<ContainerExec> {
    const { details, command } = this.#get(id);
    this.done.push(`exec ${details.name} ${argv.join(" ")}`);
    await this.onCall(`exec ${details.name}`);
    if (details.state !== "running") {
      throw new Failure("failed_precondition", `Cannot run in ${details.name}: ${details.state}`);
    }
    return command(argv, signal);
  }

  async #become(id: string, verb: string, state: ContainerDetails["state"]): Promise<void> {
    const found = this.#get(id);
    await this.onCall(`${verb} ${found.details.name}`);
    if (verb === "unpause" && found.details.state !== "paused") return;
    if (verb === "start" && found.details.state === "paused") return;
    this.done.push(`${verb} ${found.details.name}`);
    found.details = { ...found.details, state };
  }

  #get(id: string) {
    const found = this.#containers.get(id);
    if (found !== undefined) return found;
    throw new Failure("not_found", `Cannot find container ${id}`);
  }
}

/** An id of the right form that is the name's. */
function hash(name: string): string {
  const digits = Array.from(name, (letter) => letter.charCodeAt(0).toString(16)).join("");
  return digits.padEnd(64, "0").slice(0, 64);
}

/** An engine without containers, but for what is given. */
export function engineThat(answers: Partial<Engine>): Engine {
  return Object.assign(new SimEngine(), answers);
}
