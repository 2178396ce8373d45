import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Background } from "./background.ts";
import { eventually, type Outcome } from "./command.ts";
import { HeldSocket } from "./held-socket.ts";
import { type Namespace, PLUGIN_DIRECTORY } from "./namespace.ts";
import { call } from "./unix-http.ts";

export interface LagandOptions {
  /** Text of its configuration file. */
  readonly config?: string;
  /** Where it puts its plugin socket; a recorder takes the place that Docker knows. */
  readonly pluginDirectory?: string;
  /** Gets the sockets for engines from {@link Lagand.hold}, as systemd would hand them over. */
  readonly activated?: boolean;
  /** More arguments. */
  readonly args?: readonly string[];
  /** A command that becomes it: `["strace", …]`, `["sh", "-c", 'ulimit …; exec "$@"', "sh"]`. */
  readonly prefix?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

/** How `tools/install-host` has Node started. */
const NODE_FLAGS: readonly string[] = ["--optimize-for-size"];
/** Where compiled code is kept. */
export const NODE_ENVIRONMENT: NodeJS.ProcessEnv = {
  NODE_COMPILE_CACHE: join(import.meta.dirname, "../../node_modules/.cache/lagan"),
};

/** A pool that needs neither loop device nor btrfs; it cannot limit sizes. */
export const DIRECTORY_POOL = "pools:\n  default:\n    driver: directory\n";

/** A pool on btrfs in a sparse file; it limits sizes. */
export const BTRFS_POOL = "pools:\n  default:\n    driver: btrfs\n    size: 512M\n";

/** Sockets that a test can hold, by the names that systemd's units give them. */
const HOLDABLE = ["docker-plugin", "snapshots"] as const;
type Holdable = (typeof HOLDABLE)[number];

/** The lagand of a machine. */
export class Lagand {
  /** Its REST socket. */
  readonly socketPath: string;
  readonly #namespace: Namespace;
  readonly #program: { readonly entry: string; readonly engineAddress: string };
  #process: Background | undefined;
  #options: LagandOptions = {};
  readonly #held = new Map<Holdable, HeldSocket>();

  constructor(
    namespace: Namespace,
    program: { readonly entry: string; readonly engineAddress: string },
  ) {
    this.#namespace = namespace;
    this.#program = program;
    this.socketPath = namespace.path("run/lagan.sock");
  }

  /** For `lagan --host`. */
  get address(): string {
    return `unix://${this.socketPath}`;
  }

  get pid(): number {
    return this.#process?.pid ?? -1;
  }

  get running(): boolean {
    return this.#process?.running ?? false;
  }

  /** Directory of its plugin socket, inside the namespace. */
  get pluginDirectory(): string {
    return this.#options.pluginDirectory ?? PLUGIN_DIRECTORY;
  }

  /** Its plugin socket, as this process reaches it. */
  get pluginSocketPath(): string {
    return this.#namespace.inside(`${this.pluginDirectory}/lagan.sock`);
  }

  /** Starts it and waits until both its doors are open. */
  async start(options: LagandOptions = this.#options): Promise<void> {
    await this.launch(options);
    await this.ready();
  }

  /** Starts it without waiting. */
  async launch(options: LagandOptions = this.#options): Promise<void> {
    if (this.running) throw new Error("lagand runs already");
    this.#options = options;
    const namespace = this.#namespace;
    const config = await namespace.write("lagan.yaml", options.config ?? DIRECTORY_POOL);
    const argv = [...(options.prefix ?? []), ...this.#argv(config, options.args)];
    const held = options.activated ? HOLDABLE.map((name) => this.hold(name)) : [];
    this.#process = new Background(namespace.enter(held.length === 0 ? argv : activated(argv)), {
      env: { ...namespace.env, ...NODE_ENVIRONMENT, ...options.env },
      logFile: namespace.path("lagand.log"),
      inherited: held.map(({ descriptor }) => descriptor),
    });
  }

  #argv(config: string, args: readonly string[] = []): readonly string[] {
    const namespace = this.#namespace;
    return [
      process.execPath,
      ...NODE_FLAGS,
      this.#program.entry,
      ...["--state-dir", namespace.path("state"), "--run-dir", namespace.path("run")],
      ...["--docker-plugin-dir", this.pluginDirectory, "--config", config],
      ...["--engine", this.#program.engineAddress],
      ...args,
    ];
  }

  /** Runs another one on the same directories to its end, with this text as configuration. */
  async runToEnd(text: string): Promise<Outcome> {
    const config = await this.#namespace.write("other.yaml", text);
    return this.#namespace.run(this.#argv(config), { timeoutMs: 20_000 });
  }

  /** Waits until REST answers and the plugin socket is there. Rejects with the log when lagand ends instead. */
  async ready(withinMs = 30_000): Promise<void> {
    await eventually(
      "lagand answers",
      async () => {
        if (!this.running) throw new Error(`lagand ended:\n${this.logTail()}`);
        return this.answers();
      },
      { timeoutMs: withinMs },
    );
  }

  /** True when both doors are open now. */
  async answers(): Promise<boolean> {
    const doors = [
      { socketPath: this.socketPath, path: "/healthz", method: "GET" },
      // A call that no plugin has changes nothing, and tells that somebody answers.
      { socketPath: this.pluginSocketPath, path: "/Plugin.Unknown", method: "POST" },
    ];
    const answers = await Promise.all(
      doors.map((door) => call({ ...door, timeoutMs: 1_000 }).catch(() => undefined)),
    );
    return answers.every((answer) => answer !== undefined) && answers[0]?.status === 200;
  }

  /** GET of its REST door: the parsed answer, which must have status 200. */
  async get(path: string): Promise<unknown> {
    const { status, body } = await call({ socketPath: this.socketPath, path });
    if (status !== 200) throw new Error(`GET ${path}: ${status} ${body}`);
    return JSON.parse(body);
  }

  /** The plugin socket, listening without a daemon from now on; a lagand that is started `activated` takes it over. */
  hold(name: Holdable = "docker-plugin"): HeldSocket {
    const held = this.#held.get(name) ?? new HeldSocket(this.#pathOf(name));
    this.#held.set(name, held);
    return held;
  }

  #pathOf(name: Holdable): string {
    if (name === "docker-plugin") return this.#namespace.inside(`${PLUGIN_DIRECTORY}/lagan.sock`);
    mkdirSync(this.#namespace.path("run"), { recursive: true });
    return this.#namespace.path("run/snapshots.sock");
  }

  /** Ends it in order. */
  async stop(): Promise<void> {
    await this.#process?.end("SIGTERM");
  }

  /** Ends it as a crash does. */
  async kill(): Promise<void> {
    await this.#process?.end("SIGKILL");
  }

  /** {@link kill} and {@link start} with the same options, or with others. */
  async crash(options: LagandOptions = this.#options): Promise<void> {
    await this.kill();
    await this.start(options);
  }

  /** It stands still until {@link resume}: connections wait. */
  pause(): void {
    this.#process?.signal("SIGSTOP");
  }

  resume(): void {
    this.#process?.signal("SIGCONT");
  }

  /** Exit status of the last run; null while it runs. */
  get exitCode(): number | null {
    return this.#process?.exitCode ?? null;
  }

  log(): string {
    return this.#process?.log() ?? "";
  }

  logTail(): string {
    return this.#process?.logTail() ?? "";
  }

  /** Gives the held sockets up. The process is the machine's to end. */
  async close(): Promise<void> {
    await this.kill();
    for (const held of this.#held.values()) held.close();
    this.#held.clear();
  }
}

/** What systemd sets for a service with sockets (sd_listen_fds(3)); the pid is known only inside. */
function activated(argv: readonly string[]): readonly string[] {
  const script = `export LISTEN_PID=$$ LISTEN_FDS=${HOLDABLE.length} LISTEN_FDNAMES=${HOLDABLE.join(":")}; exec "$@"`;
  return ["sh", "-c", script, "activated", ...argv];
}
