import { readFile } from "node:fs/promises";
import { Claims } from "../co/claims.ts";
import { Plugin, type PluginFacts } from "../co/plugin.ts";
import type { Patience } from "../co/retry.ts";
import { Workloads } from "../co/workloads.ts";
import type { LagandOptions } from "./lagand.ts";
import { Machine } from "./machine.ts";

/** How long an orchestrator repeats a call: through a restart of the daemon on a busy machine. */
const PATIENCE: Patience = { withinMs: 60_000 };

/** Where the lagand of a machine has it. */
export function csiSocketOf(machine: Machine): string {
  return machine.path("run/csi.sock");
}

/** A machine with a lagand that has its CSI door open, and an orchestrator that uses it. */
export class CsiHost implements AsyncDisposable {
  readonly machine: Machine;
  readonly plugin: Plugin;
  readonly claims: Claims;
  #workloads: Workloads | undefined;
  #facts: PluginFacts | undefined;

  private constructor(machine: Machine) {
    this.machine = machine;
    this.plugin = new Plugin(this.socketPath);
    this.claims = new Claims(this.plugin, PATIENCE);
  }

  /** @param before What has to be there when the daemon starts. */
  static async start(
    options: LagandOptions,
    before: (machine: Machine) => Promise<void> = async () => undefined,
  ): Promise<CsiHost> {
    const host = new CsiHost(await Machine.create());
    try {
      await before(host.machine);
      await host.machine.lagand.start(options);
      await host.meet();
    } catch (thrown) {
      await host.close();
      throw thrown;
    }
    return host;
  }

  /** Asks the driver what it can; after each restart of it. */
  async meet(): Promise<void> {
    this.#facts = await this.plugin.facts(PATIENCE);
    this.#workloads ??= new Workloads({
      ...{ plugin: this.plugin, facts: this.#facts, patience: PATIENCE },
      ...{ directory: this.machine.path("kubelet"), root: this.machine.namespace.inside("") },
    });
  }

  get socketPath(): string {
    return csiSocketOf(this.machine);
  }

  get facts(): PluginFacts {
    if (this.#facts === undefined) throw new Error("the driver was not met");
    return this.#facts;
  }

  get workloads(): Workloads {
    if (this.#workloads === undefined) throw new Error("the driver was not met");
    return this.#workloads;
  }

  /** Runs a shell command where the workloads are; its output, trimmed. Rejects when it fails. */
  async sh(command: string): Promise<string> {
    const { code, stdout, stderr } = await this.machine.run(["sh", "-c", command]);
    if (code !== 0) throw new Error(`${command}: ${code} ${stdout}${stderr}`);
    return stdout.trim();
  }

  /** What is mounted at paths below the orchestrator's directory, a path a line of the mount table. */
  async mounted(): Promise<readonly string[]> {
    const table = await readFile(`/proc/${this.machine.namespace.anchorPid}/mountinfo`, "utf8");
    const points = table.split("\n").map((line) => line.split(" ")[4] ?? "");
    return points.filter((point) => point.startsWith(this.machine.path("kubelet")));
  }

  async close(): Promise<void> {
    this.plugin.close();
    await this.machine.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.plugin.close();
    await this.machine[Symbol.asyncDispose]();
  }
}
