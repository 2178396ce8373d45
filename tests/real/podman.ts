import { mkdir } from "node:fs/promises";
import { Background } from "./background.ts";
import { eventually, type Outcome, run } from "./command.ts";
import { type Namespace, PLUGIN_DIRECTORY } from "./namespace.ts";
import { call } from "./unix-http.ts";

/** Podman in a machine, with storage and configuration of its own. */
export class Podman {
  readonly #namespace: Namespace;
  #configured: Promise<readonly string[]> | undefined;
  /** Plugin name to its socket, inside the namespace. */
  plugins: Readonly<Record<string, string>> = { lagan: `${PLUGIN_DIRECTORY}/lagan.sock` };

  constructor(namespace: Namespace) {
    this.#namespace = namespace;
  }

  async run(args: readonly string[]): Promise<Outcome> {
    this.#configured ??= this.#configure();
    const global = await this.#configured;
    const namespace = this.#namespace;
    const [verb = "", ...rest] = args;
    // Beside it the containers would be in a cgroup that all Podmans of the host share.
    const parent =
      verb === "run" || verb === "create" ? ["--cgroup-parent", `/${namespace.name}`] : [];
    const argv = namespace.enter(["podman", ...global, verb, ...parent, ...rest]);
    return run(argv, { env: this.#env });
  }

  /** Starts its service, which speaks Docker's API on a socket; resolves when it answers. The caller ends it. */
  async serve(socketPath: string): Promise<Background> {
    this.#configured ??= this.#configure();
    const service = ["system", "service", "--time=0", `unix://${socketPath}`];
    const argv = this.#namespace.enter(["podman", ...(await this.#configured), ...service]);
    const logFile = this.#namespace.path("podman/service.log");
    const process = new Background(argv, { env: this.#env, logFile });
    await eventually("podman's service answers", async () => {
      if (!process.running) throw new Error(`podman ended:\n${process.logTail()}`);
      const answer = await call({ socketPath, path: "/_ping" }).catch(() => undefined);
      return answer?.status === 200;
    });
    return process;
  }

  get #env(): NodeJS.ProcessEnv {
    const namespace = this.#namespace;
    return {
      ...namespace.env,
      // Podman looks for a registry's credentials in it, and misses them when it is set.
      DOCKER_CONFIG: undefined,
      CONTAINERS_CONF: namespace.path("podman/containers.conf"),
      CONTAINERS_STORAGE_CONF: namespace.path("podman/storage.conf"),
    };
  }

  /** Makes the configuration; resolves to the arguments that go before every verb. */
  async #configure(): Promise<readonly string[]> {
    const namespace = this.#namespace;
    await mkdir(namespace.path("podman"));
    const plugins = Object.entries(this.plugins).map(([name, path]) => `${name} = "${path}"`);
    await namespace.write(
      "podman/containers.conf",
      [
        "[containers]",
        // Podman's own would raise the limits, which not every root may.
        'default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]',
        "[engine]",
        'events_logger = "none"',
        'cgroup_manager = "cgroupfs"',
        'runtime = "runc"',
        "volume_plugin_timeout = 10",
        "[engine.volume_plugins]",
        ...plugins,
        "",
      ].join("\n"),
    );
    const [root, runRoot] = [namespace.path("podman/root"), namespace.path("podman/run")];
    await namespace.write(
      "podman/storage.conf",
      `[storage]\ndriver = "overlay"\ngraphroot = "${root}"\nrunroot = "${runRoot}"\n`,
    );
    return ["--root", root, "--runroot", runRoot, "--tmpdir", namespace.path("podman/tmp")];
  }
}
