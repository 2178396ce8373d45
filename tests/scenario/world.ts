import { Failure, type FailureCode } from "../../src/core/failure.ts";
import { parsePoolName } from "../../src/core/name.ts";
import type { Engine } from "../../src/core/ports/engine.ts";
import type { Files } from "../../src/core/ports/files.ts";
import type { Kernel } from "../../src/core/ports/kernel.ts";
import type { Log } from "../../src/core/ports/log.ts";
import type { Store } from "../../src/core/ports/store.ts";
import { poolMaker } from "../../src/drivers/index.ts";
import { buildNode, type Node, type NodeSettings } from "../../src/services/node.ts";
import { type FaultTime, failingAt } from "../../src/sim/failing.ts";
import { SimMachine } from "../../src/sim/machine.ts";
import { cutStorePower, emptyStoreDisk, SimStore, type SimStoreDisk } from "../../src/sim/store.ts";

/** A property of `of`, or the one that stands in for it. */
export function forwarded<T extends object>(
  of: T,
  name: string | symbol,
  instead: Partial<T>,
): unknown {
  const value: unknown = Reflect.get(name in instead ? instead : of, name);
  return typeof value === "function" ? value.bind(of) : value;
}

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** A fault for one daemon: its nth call of any port, counted from when it was built, goes wrong. */
export interface Fault {
  readonly nth: number;
  readonly when: FaultTime;
  /** What the call fails with: `unavailable` unless told. */
  readonly code?: FailureCode;
}

/** A daemon on the simulated machine. */
export interface Daemon {
  readonly node: Node;
  /** The call that went wrong, as `files.rename`; undefined when none has. */
  readonly hit: () => string | undefined;
  /** How many calls it has made. */
  readonly calls: () => number;
  /** Resolves when a fault was a crash. */
  readonly crashed: Promise<void>;
}

/** One simulated machine; daemons are booted on it one after the other. */
export class World {
  readonly machine: SimMachine;
  readonly engines: Engine[] = [];
  readonly signal: AbortSignal = new AbortController().signal;
  settings: NodeSettings;
  /** What daemons that are built from now on get as their kernel. */
  kernelOf: (kernel: Kernel) => Kernel = (kernel) => kernel;
  /** What they get as their files. */
  filesOf: (files: Files) => Files = (files) => files;
  /** What they get as the store. */
  storeOf: (store: Store) => Store = (store) => store;
  /** What they get as the store of what is only for now. */
  runtimeOf: (store: Store) => Store = (store) => store;
  readonly #store: SimStoreDisk = emptyStoreDisk();
  #runtime: SimStoreDisk = emptyStoreDisk();

  readonly #driver: "btrfs" | "directory" | "overlay";

  /** @param driver Of the default pool; `btrfs` lies in a loop file of 4 GiB. */
  constructor(driver: "btrfs" | "directory" | "overlay" = "btrfs", seed = 1) {
    this.#driver = driver;
    this.machine = new SimMachine({ seed });
    const options: Record<string, string> = driver === "btrfs" ? { size: "4G" } : {};
    const name = parsePoolName("default");
    for (const directory of ["/var/lib/lagan", "/var/lib/lagan/pools"]) {
      this.machine.init.makeDirectories(directory);
    }
    this.machine.sync();
    this.settings = {
      pools: [{ name, driver, options }],
      defaultPool: name,
      profiles: new Map(),
      trashKeepMs: 86_400_000,
      mountsDirectory: "/run/lagan/mounts",
    };
  }

  /** A daemon that is up. */
  async boot(): Promise<Node> {
    const { node } = this.build();
    await node.start(this.signal);
    return node;
  }

  /** A daemon that has not started yet. */
  build(fault?: Fault): Daemon {
    const { clock, random, kernel, files, exec } = this.machine.start();
    const store = new SimStore(this.machine.clock, this.#store);
    const failing = failingAt(
      { store, kernel, files, exec },
      fault?.nth ?? 0,
      fault?.when ?? "before",
      new Failure(fault?.code ?? "unavailable", "Injected"),
    );
    const { ports } = failing;
    const node = buildNode(
      {
        store: this.storeOf(ports.store),
        runtime: this.runtimeOf(new SimStore(this.machine.clock, this.#runtime)),
        maker: poolMaker(
          "/var/lib/lagan/pools",
          this.#overlaid({ ...ports, files: this.filesOf(ports.files) }),
        ),
        kernel: this.kernelOf(ports.kernel),
        files: ports.files,
        engines: this.engines,
        ...{ clock, random, log: silent },
      },
      this.settings,
    );
    return { node, hit: failing.hit, calls: failing.calls, crashed: failing.crashed };
  }

  /** The simulated kernel has no overlays: here each shows its upper directory, with names of the topmost lower one. */
  #overlaid<P extends { readonly kernel: Kernel; readonly files: Files }>(ports: P): P {
    if (this.#driver !== "overlay") return ports;
    const { kernel, files } = ports;
    const mount: Kernel["mount"] = async (request) => {
      if (request.type !== "overlay") return kernel.mount(request);
      const named = (option: string): string =>
        request.options.find((one) => one.startsWith(option))?.slice(option.length) ?? "";
      const [lower, upper] = [named("lowerdir=").split(":")[0] ?? "", named("upperdir=")];
      for (const name of await files.list(lower)) {
        await files.makeDirectory(`${upper}/${name}`, { mode: 0o755 });
      }
      await kernel.mount({ ...request, type: "bind", source: upper, options: [] });
    };
    return {
      ...ports,
      kernel: new Proxy(kernel, { get: (of, name) => forwarded(of, name, { mount }) }),
    };
  }

  /** Bits of a record turn over while no daemon runs. */
  damageRecord(key: string): void {
    const entry = this.#store.entries.get(key);
    if (entry === undefined) throw new Error(`no record ${key}`);
    this.#store.entries.set(key, { ...entry, value: `\u0000${entry.value.slice(1)}` });
  }

  /** The machine loses its power and starts again; what lies in /run is gone, and of the store what need not stay. */
  reboot(): void {
    this.machine.reboot();
    cutStorePower(this.#store, this.machine.clock.monotonic());
    this.#runtime = emptyStoreDisk();
  }
}
