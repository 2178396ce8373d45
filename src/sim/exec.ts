import { Failure } from "../core/failure.ts";
import type { Clock } from "../core/ports/clock.ts";
import { EXEC_OUTPUT_LIMIT_BYTES, type Exec, type ExecResult } from "../core/ports/exec.ts";
import { type Incarnation, never } from "./incarnation.ts";
import type { SimMachine } from "./machine.ts";

/** The port Exec over a machine's table of commands. A command has its whole effect at one instant. */
export class SimExec implements Exec {
  readonly #machine: SimMachine;
  readonly #incarnation: Incarnation;
  readonly #clock: Clock;

  constructor(machine: SimMachine, incarnation: Incarnation, clock: Clock) {
    this.#machine = machine;
    this.#incarnation = incarnation;
    this.#clock = clock;
  }

  async run(
    argv: readonly [string, ...string[]],
    options: { readonly timeoutMs: number },
    signal: AbortSignal,
  ): Promise<ExecResult> {
    const [program, ...args] = argv;
    const killer = new AbortController();
    const running = await this.#incarnation.call(() => {
      signal.throwIfAborted();
      const command = this.#machine.commands.get(program.slice(program.lastIndexOf("/") + 1));
      if (command === undefined) {
        throw new Failure(
          "failed_precondition",
          `Cannot run ${program}: the command is not installed; install it`,
        );
      }
      // In an object, or the promise of a slow command would be awaited here.
      return {
        result: command(args, {
          machine: this.#machine,
          clock: this.#clock,
          signal: killer.signal,
        }),
      };
    });
    const { result } = running;
    if (!("then" in result)) return cut(result);
    try {
      return cut(await this.#withinTime(program, result, options.timeoutMs, signal));
    } finally {
      killer.abort();
    }
  }

  async #withinTime(
    program: string,
    result: Promise<ExecResult>,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<ExecResult> {
    const done = new AbortController();
    const timeout = this.#clock
      .sleep(timeoutMs, AbortSignal.any([signal, done.signal]))
      .then(() => {
        throw new Failure(
          "deadline_exceeded",
          `Cannot run ${program}: it took more than ${timeoutMs} ms and was killed`,
        );
      });
    try {
      const finished = await Promise.race([result, timeout]);
      return this.#incarnation.alive ? finished : never();
    } finally {
      done.abort();
    }
  }
}

function cut(result: ExecResult): ExecResult {
  const { stdout, stderr } = result;
  if (stdout.length <= EXEC_OUTPUT_LIMIT_BYTES && stderr.length <= EXEC_OUTPUT_LIMIT_BYTES) {
    return result;
  }
  return {
    code: result.code,
    stdout: stdout.slice(0, EXEC_OUTPUT_LIMIT_BYTES),
    stderr: stderr.slice(0, EXEC_OUTPUT_LIMIT_BYTES),
  };
}
