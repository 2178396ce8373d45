import { rm } from "node:fs/promises";
import { Background } from "./background.ts";
import { eventually, mustRun } from "./command.ts";
import type { Namespace } from "./namespace.ts";
import { call, type HttpAnswer } from "./unix-http.ts";

export interface EngineOptions {
  /** Containers go on while the engine is away. */
  readonly liveRestore?: boolean;
  /** Where layers of images and containers lie; Docker's own overlay2 unless told. A plugin needs `--experimental`. */
  readonly storageDriver?: "lagan";
  /** More arguments for dockerd. */
  readonly args?: readonly string[];
  /** Longest wait for its API. An absent plugin costs 15 s for each volume that the engine knows. */
  readonly readyWithinMs?: number;
}

/** The Docker Engine of a machine. Nothing of it is shared with the host's: not even its containerd or its cgroups. */
export class Engine {
  readonly socketPath: string;
  readonly #namespace: Namespace;
  readonly #name: string;
  #process: Background | undefined;
  #options: EngineOptions = {};

  /** @param name Of its directories and its socket: by it the engines of one machine are told apart. */
  constructor(namespace: Namespace, name = "docker") {
    this.#namespace = namespace;
    this.#name = name;
    this.socketPath = namespace.path(`${name}.sock`);
  }

  /** For `DOCKER_HOST` and lagand's `--engine`. */
  get address(): string {
    return `unix://${this.socketPath}`;
  }

  get #execRoot(): string {
    return this.#namespace.path(this.#name === "docker" ? "exec" : `exec-${this.#name}`);
  }

  get pid(): number {
    return this.#process?.pid ?? -1;
  }

  /** Starts it and waits until its API answers. */
  async start(options: EngineOptions = this.#options): Promise<void> {
    await this.launch(options);
    await this.ready();
  }

  /** Starts it without waiting. */
  async launch(options: EngineOptions = this.#options): Promise<void> {
    if (this.#process?.running) throw new Error("dockerd runs already");
    this.#options = options;
    const [namespace, name] = [this.#namespace, this.#name];
    const config = await namespace.write("dockerd.json", "{}");
    const argv = namespace.enter([
      "dockerd",
      ...["--data-root", namespace.path(name), "--exec-root", this.#execRoot],
      ...["-p", namespace.path(`${name}.pid`), "-H", this.address, "--config-file", config],
      ...["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"],
      ...["--storage-driver", options.storageDriver ?? "overlay2"],
      ...(options.storageDriver === undefined ? [] : ["--experimental"]),
      ...["--exec-opt", "native.cgroupdriver=cgroupfs"],
      ...["--cgroup-parent", `/${namespace.name}`, "--userland-proxy=false"],
      ...(options.liveRestore ? ["--live-restore"] : []),
      ...(options.args ?? []),
    ]);
    this.#process = new Background(argv, {
      env: namespace.env,
      logFile: namespace.path(`${name === "docker" ? "dockerd" : name}.log`),
    });
  }

  /** Waits until the API answers. Rejects with the log when dockerd ends instead. */
  async ready(withinMs: number = this.#options.readyWithinMs ?? 60_000): Promise<void> {
    await eventually(
      "dockerd answers",
      async () => {
        if (!this.#process?.running) throw new Error(`dockerd ended:\n${this.logTail()}`);
        return this.answers();
      },
      { timeoutMs: withinMs },
    );
  }

  /** True when the API answers now. */
  async answers(): Promise<boolean> {
    const answer = await this.api("/_ping", { timeoutMs: 1_000 }).catch(() => undefined);
    return answer?.status === 200;
  }

  /** A call of its API without the command in between. */
  api(
    path: string,
    options: {
      readonly method?: string;
      readonly body?: object;
      readonly timeoutMs?: number;
    } = {},
  ): Promise<HttpAnswer> {
    const { body, ...rest } = options;
    return call({
      socketPath: this.socketPath,
      path,
      ...rest,
      ...(body === undefined
        ? {}
        : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
  }

  /** Ends it in order: SIGTERM. Without live-restore the containers stop. */
  async stop(): Promise<void> {
    await this.#process?.end("SIGTERM");
  }

  /** Ends it as a crash does. Containers and their shims go on; its containerd dies with it. */
  async kill(): Promise<void> {
    await this.#process?.end("SIGKILL");
    // What a crash leaves makes the next start wait for a pid that may be another's by then.
    await rm(this.#namespace.path(`${this.#name}.pid`), { force: true });
    await rm(`${this.#execRoot}/containerd/containerd.pid`, { force: true });
  }

  /** {@link stop} and {@link start} with the same options, or with others. */
  async restart(options: EngineOptions = this.#options): Promise<void> {
    await this.stop();
    await this.start(options);
  }

  /** {@link kill} and {@link start} with the same options, or with others. */
  async crash(options: EngineOptions = this.#options): Promise<void> {
    await this.kill();
    await this.start(options);
  }

  log(): string {
    return this.#process?.log() ?? "";
  }

  logTail(): string {
    return this.#process?.logTail() ?? "";
  }

  /** Makes an image out of a directory; `changes` are Dockerfile instructions. */
  async importImage(
    name: string,
    rootDirectory: string,
    changes: readonly string[] = [],
  ): Promise<void> {
    const flags = [...changes, 'CMD ["/bin/sh"]'].flatMap((change) => ["-c", change]);
    await mustRun(
      [
        "sh",
        "-c",
        'root=$1; shift; tar -C "$root" -c . | docker import "$@"',
        "import",
        rootDirectory,
        ...flags,
        "-",
        name,
      ],
      { env: { ...this.#namespace.env, DOCKER_HOST: this.address } },
    );
  }
}
