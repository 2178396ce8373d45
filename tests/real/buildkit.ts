import { Background } from "./background.ts";
import { eventually, type Outcome } from "./command.ts";
import type { Containerd } from "./containerd.ts";
import type { Machine } from "./machine.ts";

/** Paths of BuildKit's programs. */
interface Programs {
  readonly buildkitd: string;
  readonly buildctl: string;
}

/** A BuildKit of a machine's own, on our snapshotter: by containerd, or without it straight on our socket. */
export class BuildKit {
  readonly #machine: Machine;
  readonly #programs: Programs;
  readonly #worker: string;
  readonly #env: NodeJS.ProcessEnv;
  #process: Background | undefined;

  /** @param env More environment of the daemon. */
  constructor(
    machine: Machine,
    programs: Programs,
    containerd: Containerd | undefined,
    env: NodeJS.ProcessEnv = {},
  ) {
    this.#machine = machine;
    this.#programs = programs;
    this.#env = env;
    const door = machine.path("run/snapshots.sock");
    this.#worker =
      containerd === undefined
        ? `[worker.oci]\n  snapshotter = "lagan"\n  proxySnapshotterPath = "${door}"\n[worker.containerd]\n  enabled = false\n`
        : `[worker.oci]\n  enabled = false\n[worker.containerd]\n  address = "${containerd.address}"\n  snapshotter = "lagan"\n`;
  }

  get address(): string {
    return `unix://${this.#machine.path("buildkitd.sock")}`;
  }

  async start(): Promise<void> {
    const { namespace } = this.#machine;
    const root = `root = "${this.#machine.path("disk/buildkit")}"\n`;
    const config = `${root}[grpc]\n  address = ["${this.address}"]\n${this.#worker}`;
    const path = await namespace.write("buildkitd.toml", config);
    this.#process = new Background(namespace.enter([this.#programs.buildkitd, "--config", path]), {
      env: { ...namespace.env, ...this.#env },
      logFile: namespace.path("buildkitd.log"),
    });
    await eventually("buildkitd answers", async () => {
      if (!this.#process?.running) throw new Error(`it ended:\n${this.#process?.logTail()}`);
      return (await this.#buildctl("debug", "workers")).code === 0;
    });
  }

  async stop(): Promise<void> {
    await this.#process?.end("SIGTERM");
  }

  /** Builds the directory's Dockerfile; what it says, whatever its outcome. */
  build(directory: string, ...options: readonly string[]): Promise<Outcome> {
    const local = ["context", "dockerfile"].flatMap((name) => ["--local", `${name}=${directory}`]);
    const frontend = ["--frontend", "dockerfile.v0", "--opt", "image-resolve-mode=local"];
    return this.#buildctl("build", "--progress", "plain", ...frontend, ...local, ...options);
  }

  /** {@link build} that must succeed: what it says. */
  async mustBuild(directory: string, ...options: readonly string[]): Promise<string> {
    const { code, stderr } = await this.build(directory, ...options);
    if (code !== 0) throw new Error(`${stderr}\n${this.#process?.logTail()}`);
    return stderr;
  }

  /** Gives all of its cache up. It keeps what a build was using that failed as it was committed, until it starts again. */
  async prune(): Promise<void> {
    const { code, stderr } = await this.#buildctl("prune", "--all");
    if (code !== 0) throw new Error(stderr);
  }

  #buildctl(...args: readonly string[]): Promise<Outcome> {
    return this.#machine.run([this.#programs.buildctl, "--addr", this.address, ...args]);
  }
}

/** How many steps a build took from its cache. */
export function cachedSteps(said: string): number {
  return (said.match(/^#\d+ CACHED$/gm) ?? []).length;
}
