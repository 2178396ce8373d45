import { mkdir } from "node:fs/promises";
import { type Outcome, run } from "./command.ts";
import { type Namespace, PLUGIN_DIRECTORY } from "./namespace.ts";

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
    return run(namespace.enter(["podman", ...global, verb, ...parent, ...rest]), {
      env: {
        ...namespace.env,
        // Podman looks for a registry's credentials in it, and misses them when it is set.
        DOCKER_CONFIG: undefined,
        CONTAINERS_CONF: namespace.path("podman/containers.conf"),
        CONTAINERS_STORAGE_CONF: namespace.path("podman/storage.conf"),
      },
    });
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
