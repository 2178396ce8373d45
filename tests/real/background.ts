import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";

/** A process that runs beside the test, with its output in a file. It has its own session, so no terminal signal reaches it. */
export class Background {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #logFile: string;
  readonly #exited: Promise<void>;
  #running = true;

  /** @param inherited Descriptors that become 3, 4, … of the process. */
  constructor(
    argv: readonly string[],
    options: {
      readonly env: NodeJS.ProcessEnv;
      readonly logFile: string;
      readonly inherited?: readonly number[];
    },
  ) {
    const [file = "", ...args] = argv;
    const log = openSync(options.logFile, "a");
    this.#child = spawn(file, args, {
      env: options.env,
      detached: true,
      stdio: ["ignore", log, log, ...(options.inherited ?? [])],
    });
    closeSync(log);
    this.#logFile = options.logFile;
    const { promise, resolve } = Promise.withResolvers<void>();
    const end = () => {
      this.#running = false;
      resolve();
    };
    this.#child.on("exit", end);
    this.#child.on("error", end);
    this.#exited = promise;
    this.pid = this.#child.pid ?? -1;
    // A demo may end and leave it running.
    this.#child.unref();
  }

  get running(): boolean {
    return this.#running;
  }

  /** Exit status; null while it runs and when a signal ended it. */
  get exitCode(): number | null {
    return this.#child.exitCode;
  }

  /** Sends the signal and waits until the process is gone. */
  async end(signal: NodeJS.Signals): Promise<void> {
    if (!this.#running) return;
    this.#child.ref();
    this.#child.kill(signal);
    await this.#exited;
  }

  /** The signal alone: SIGSTOP, SIGCONT. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** All that it has written so far, of every run with this file. */
  log(): string {
    return readFileSync(this.#logFile, "utf8");
  }

  /** For error messages. */
  logTail(): string {
    return this.log().split("\n").slice(-15).join("\n");
  }
}
