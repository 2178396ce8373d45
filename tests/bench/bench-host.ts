import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Background } from "../real/background.ts";
import { succeeded } from "../real/command.ts";
import { loadBusybox } from "../real/images.ts";
import { Machine } from "../real/machine.ts";
import { PLUGIN_DIRECTORY } from "../real/namespace.ts";
import { PluginClient } from "./plugin-client.ts";

/** File systems of the host's disk: on btrfs the pool is a directory of it, elsewhere a loop file on it. */
export type HostFileSystem = "btrfs" | "ext4" | "xfs";

const DISK_SIZE = "16G";
/** How many volumes are made at once. */
const FILL_CONCURRENCY = 16;

/**
 * A machine whose engine and lagand keep all that they have on one and the same loop-mounted file system, so
 * that neither has the better disk.
 */
export class BenchHost implements AsyncDisposable {
  readonly machine: Machine;
  #volumes = 0;

  private constructor(machine: Machine) {
    this.machine = machine;
  }

  static async create(fileSystem: HostFileSystem, size = DISK_SIZE): Promise<BenchHost> {
    const machine = await Machine.create();
    const host = new BenchHost(machine);
    try {
      await host.mountImage("disk", fileSystem, size);
      return host;
    } catch (thrown) {
      await machine.close();
      throw thrown;
    }
  }

  /** Path on the disk, inside. */
  disk(...parts: readonly string[]): string {
    return this.machine.path("disk", ...parts);
  }

  /** How many volumes there are. */
  get volumes(): number {
    return this.#volumes;
  }

  /** Runs a command inside, which must succeed. */
  async must(...argv: readonly string[]): Promise<string> {
    return succeeded(argv, await this.machine.run(argv));
  }

  /** A new file system in a sparse file, mounted inside at the machine's path `name`. Direct I/O: the cache of one file system is enough. */
  async mountImage(name: string, fileSystem: HostFileSystem, size = DISK_SIZE): Promise<void> {
    const image = this.machine.path(`${name}.img`);
    const place = this.machine.path(name);
    await this.must("truncate", "-s", size, image);
    await this.must(`mkfs.${fileSystem}`, "-q", image);
    const device = await this.must("losetup", "-f", "--show", "--direct-io=on", image);
    await this.must("mkdir", place);
    await this.must("mount", "-t", fileSystem, "-o", "noatime", device, place);
  }

  /** Starts lagand with one pool, an automatic one unless told, and waits until it listens; resolves to how long that took. */
  async startLagand(driver: "auto" | "loop" = "auto"): Promise<number> {
    const { lagand } = this.machine;
    const begin = performance.now();
    await lagand.launch({
      config: `pools:\n  default:\n    driver: ${driver}\n`,
      args: ["--state-dir", this.disk("state")],
    });
    while (!(await listens(lagand.pluginSocketPath))) {
      if (!lagand.running) throw new Error(`lagand ended:\n${lagand.logTail()}`);
      await sleep(2);
    }
    return performance.now() - begin;
  }

  async startEngine(): Promise<void> {
    await this.machine.engine.start({ args: ["--data-root", this.disk("docker")] });
    await loadBusybox(this.machine);
  }

  /** Starts the plugin `bare`, which does nothing that it need not do, beside lagand. */
  async startBarePlugin(): Promise<void> {
    const { namespace } = this.machine;
    const socketPath = `${PLUGIN_DIRECTORY}/bare.sock`;
    const entry = join(import.meta.dirname, "bare-plugin.ts");
    new Background(namespace.enter([process.execPath, entry, socketPath, this.disk("bare")]), {
      env: namespace.env,
      logFile: namespace.path("bare.log"),
    });
    while (!(await listens(namespace.inside(socketPath)))) await sleep(2);
  }

  connect(): Promise<PluginClient> {
    return PluginClient.open(this.machine.lagand.pluginSocketPath);
  }

  /** Name of the n-th volume that {@link fill} makes. */
  volume(n: number): string {
    return `volume-${String(n).padStart(5, "0")}`;
  }

  /** One of the volumes, any. */
  anyVolume(): string {
    return this.volume(Math.floor(Math.random() * this.#volumes));
  }

  /** Makes volumes until there are `count`; resolves to how many were made a second. */
  async fill(count: number): Promise<number> {
    const begin = performance.now();
    const before = this.#volumes;
    let next = before;
    const work = async (): Promise<void> => {
      const client = await this.connect();
      while (next < count) await client.call("Create", { Name: this.volume(next++), Opts: {} });
      client.close();
    };
    await Promise.all(Array.from({ length: FILL_CONCURRENCY }, work));
    this.#volumes = count;
    return ((count - before) / (performance.now() - begin)) * 1_000;
  }

  /** Processor time that lagand has taken since it was started, all threads, in milliseconds. */
  processorMs(): number {
    const stat = readFileSync(`/proc/${this.machine.lagand.pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    // utime and stime, in ticks of 10 ms (proc(5)).
    return (Number(fields[11]) + Number(fields[12])) * 10;
  }

  /** Resident memory of lagand in megabytes. */
  residentMb(): number {
    const status = readFileSync(`/proc/${this.machine.lagand.pid}/status`, "utf8");
    return (Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1_024) / 1e6;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine[Symbol.asyncDispose]();
  }
}

function listens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
