import type { Outcome } from "../tests/real/command.ts";
import { loadBusybox } from "../tests/real/images.ts";
import { Machine } from "../tests/real/machine.ts";
import type { Show } from "./show.ts";

/** Runs commands on the demo's machine as a user would, printing each and what it says. */
export class Stage {
  readonly machine: Machine;
  readonly #show: Show;

  private constructor(machine: Machine, show: Show) {
    this.machine = machine;
    this.#show = show;
  }

  /** A machine with a Docker Engine, two images, and lagand with the store and pool that it chooses itself. */
  static async set(show: Show, options: { readonly keep: boolean }): Promise<Stage> {
    const machine = await Machine.create({ outlive: options.keep });
    try {
      await machine.lagand.start({ config: "" });
      await machine.engine.start();
      await loadBusybox(machine);
    } catch (thrown) {
      await machine.close();
      throw thrown;
    }
    return new Stage(machine, show);
  }

  docker(...args: readonly string[]): Promise<Outcome> {
    return this.#run("docker", args, () => this.machine.docker(...args));
  }

  lagan(...args: readonly string[]): Promise<Outcome> {
    return this.#run("lagan", args, () => this.machine.lagan(...args));
  }

  async #run(
    program: string,
    args: readonly string[],
    work: () => Promise<Outcome>,
  ): Promise<Outcome> {
    this.#show.command([program, ...args.map(quoted)].join(" "));
    const outcome = await work();
    this.#show.output(outcome.stdout);
    this.#show.output(outcome.stderr);
    return outcome;
  }
}

function quoted(argument: string): string {
  return /^[\w@%+=:,./{}-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", `'\\''`)}'`;
}
