import { join } from "node:path";
import { type CommandOptions, type Outcome, run, succeeded } from "./command.ts";
import { Engine } from "./engine.ts";
import { Lagand, NODE_ENVIRONMENT } from "./lagand.ts";
import { Namespace } from "./namespace.ts";
import { Podman } from "./podman.ts";

const REPOSITORY = join(import.meta.dirname, "../..");

/**
 * A make-believe host: a Docker Engine, a Podman and a lagand in a namespace of their own, which share nothing
 * with the real host's.
 */
export class Machine implements AsyncDisposable {
  readonly namespace: Namespace;
  readonly engine: Engine;
  readonly lagand: Lagand;
  readonly podmanEngine: Podman;

  private constructor(namespace: Namespace) {
    this.namespace = namespace;
    this.engine = new Engine(namespace);
    this.lagand = new Lagand(namespace, {
      entry: join(REPOSITORY, "src/bin/lagand.ts"),
      engineAddress: this.engine.address,
    });
    this.podmanEngine = new Podman(namespace);
  }

  /** A machine with nothing running. `outlive`: all that is started stays when this process ends. */
  static async create({ outlive = false }: { readonly outlive?: boolean } = {}): Promise<Machine> {
    return new Machine(await Namespace.create({ outlive }));
  }

  /** Path in the machine's scratch directory, the same inside and outside. */
  path(...parts: readonly string[]): string {
    return this.namespace.path(...parts);
  }

  /** Runs a command inside, to its end. */
  run(argv: readonly string[], options: CommandOptions = {}): Promise<Outcome> {
    return this.namespace.run(argv, options);
  }

  /** Docker's own command, against this machine's engine. */
  docker(...args: readonly string[]): Promise<Outcome> {
    return run(["docker", ...args], { env: this.#clientEnv });
  }

  /** {@link docker} that must succeed: its standard output, trimmed. */
  async mustDocker(...args: readonly string[]): Promise<string> {
    return succeeded(["docker", ...args], await this.docker(...args));
  }

  /** Our command, against this machine's lagand. */
  lagan(...args: readonly string[]): Promise<Outcome> {
    const entry = join(REPOSITORY, "src/bin/lagan.ts");
    const argv = [process.execPath, entry, "--host", this.lagand.address, ...args];
    const env = { ...this.#clientEnv, ...NODE_ENVIRONMENT };
    // As installed: with compiled code at hand, which the environment says where to keep.
    delete env["NODE_DISABLE_COMPILE_CACHE"];
    return run(argv, { env });
  }

  /** {@link lagan} that must succeed: its standard output, trimmed. */
  async mustLagan(...args: readonly string[]): Promise<string> {
    return succeeded(["lagan", ...args], await this.lagan(...args));
  }

  podman(...args: readonly string[]): Promise<Outcome> {
    return this.podmanEngine.run(args);
  }

  /** {@link podman} that must succeed: its standard output, trimmed. */
  async mustPodman(...args: readonly string[]): Promise<string> {
    return succeeded(["podman", ...args], await this.podman(...args));
  }

  /** A new file system in a sparse file, mounted inside at the machine's path `name`: one with a journal, unlike some hosts'. */
  async mountDisk(name: string, fileSystem: "ext4" | "xfs" | "btrfs" = "ext4"): Promise<string> {
    const [image, place] = [this.path(`${name}.img`), this.path(name)];
    await this.must("truncate", "-s", "8G", image);
    await this.must(`mkfs.${fileSystem}`, "-q", image);
    await this.must("mkdir", place);
    await this.must("mount", "-o", "loop", image, place);
    return place;
  }

  /** {@link run} that must succeed: its standard output, trimmed. */
  async must(...argv: readonly string[]): Promise<string> {
    return succeeded(argv, await this.run(argv));
  }

  /** What is still there of this machine on the host, a line each; empty after {@link close}. */
  leftovers(): readonly string[] {
    return this.namespace.leftovers();
  }

  /** Ends everything that runs inside and removes every trace. Again is success. */
  async close(): Promise<void> {
    await this.lagand.close();
    await this.namespace.close();
  }

  /** {@link close}, and throws if anything of the machine is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
    const left = this.leftovers();
    if (left.length > 0) throw new Error(`The machine left behind:\n${left.join("\n")}`);
  }

  get #clientEnv(): NodeJS.ProcessEnv {
    // The lagan command would keep compiled code in a cache directory of the host's.
    const leaveNothing = { NODE_DISABLE_COMPILE_CACHE: "1" };
    return { ...this.namespace.env, ...leaveNothing, DOCKER_HOST: this.engine.address };
  }
}
