import { Failure } from "../../src/core/failure.ts";
import { type LayerId, newId } from "../../src/core/id.ts";
import { parsePoolName, parseProfileName } from "../../src/core/name.ts";
import type { Engine, EngineContainer } from "../../src/core/ports/engine.ts";
import type { Log } from "../../src/core/ports/log.ts";
import type { Store } from "../../src/core/ports/store.ts";
import { parseVolumeOptions } from "../../src/core/volume/options.ts";
import { poolMaker } from "../../src/drivers/index.ts";
import { buildNode, type Node, type NodeSettings } from "../../src/services/node.ts";
import { engineThat } from "../../src/sim/engine.ts";
import { SimMachine } from "../../src/sim/machine.ts";
import { SimRandom } from "../../src/sim/random.ts";
import { cutStorePower, emptyStoreDisk, SimStore, type SimStoreDisk } from "../../src/sim/store.ts";
import { Chaos, Life } from "./chaos.ts";
import { Containers } from "./containers.ts";
import { Checker } from "./invariants.ts";
import { type Plan, planOf } from "./plan.ts";

/** Says nothing. */
export const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const MIB = 1024 ** 2;
const ROOT_BYTES: number = 2048 * MIB;
const FILLER = "/var/filler";
const POOLS = "/var/lib/lagan/pools";
export const DEFAULT_POOL = parsePoolName("default");
export const SMALL = parseProfileName("small");
/** A profile with what requests may ask otherwise. */
export const SMALL_OPTIONS = parseVolumeOptions({ size: "10M", mode: "0770" });

/** The whole node of one seed: the machine, its daemon under chaos, its containers, and who checks them. */
export class NodeOnTrial {
  readonly plan: Plan;
  readonly random: SimRandom;
  readonly machine: SimMachine;
  readonly chaos: Chaos;
  readonly checker: Checker;
  readonly containers: Containers;
  node: Node | undefined;
  life: Life | undefined;
  orphan: LayerId | undefined;
  starts = 0;
  /** The schedule has ended: nobody starts the daemon any more. */
  over = false;
  readonly #settings: NodeSettings;
  readonly #options: Readonly<Record<string, string>>;
  readonly #store: SimStoreDisk = emptyStoreDisk();
  #runtime: SimStoreDisk = emptyStoreDisk();
  #stop = new AbortController();
  /** Of this schedule alone, as that of {@link Chaos}. */
  readonly #forever: AbortSignal = new AbortController().signal;
  /** Told when the daemon dies, once each. */
  readonly #waiting = new Set<() => void>();

  constructor(seed: number) {
    this.random = new SimRandom(seed);
    this.plan = planOf(seed, this.random);
    const { driver, trashKeepMs, maxTurns } = this.plan;
    this.machine = new SimMachine({ seed, maxTurns, rootBytes: ROOT_BYTES });
    this.chaos = new Chaos(this.machine.clock, this.random.fork(), this.plan, () => this.crash());
    this.checker = new Checker(this.machine, this.#store, trashKeepMs);
    this.containers = new Containers(this);
    this.machine.init.makeDirectories(POOLS);
    this.machine.sync();
    this.#options = driver === "btrfs" ? { size: "1G" } : {};
    this.#settings = {
      pools: [{ name: DEFAULT_POOL, driver, options: this.#options }],
      defaultPool: DEFAULT_POOL,
      profiles: new Map([[SMALL, SMALL_OPTIONS]]),
      trashKeepMs,
      mountsDirectory: "/run/lagan/mounts",
    };
  }

  /** Starts the daemon; one that does not come up is started again, as systemd does. */
  async boot(): Promise<void> {
    while (this.node === undefined) {
      const life = new Life();
      this.life = life;
      this.starts++;
      this.checker.starts = this.starts;
      if (this.chaos.on && this.plan.troubles.has("crash") && this.random.below(4) === 0) {
        this.#plantCrash(life);
      }
      const node = this.#build(life);
      const started = node.start(this.#stop.signal).then(
        () => "up" as const,
        (thrown: unknown) => {
          const { code } = Failure.from(thrown);
          if (code === "internal") this.checker.breach(14, `start: ${describe(thrown)}`);
          return "failed" as const;
        },
      );
      const outcome = await Promise.race([started, this.whenDead()]);
      if (outcome === "up" && life.alive) {
        this.node = node;
        void node.housekeeping.run(this.#stop.signal);
        return;
      }
      if (life.alive) this.crash();
      await this.sleep(1_000);
    }
  }

  /** `kill -9` of the daemon. */
  crash(): void {
    if (this.life !== undefined) this.life.alive = false;
    this.life = undefined;
    this.node = undefined;
    this.machine.crash();
    // The dead hear nothing and can do nothing, but Node keeps a combined signal for as long as somebody listens to it.
    this.#stop.abort(this.#stop);
    this.#stop = new AbortController();
    for (const tell of this.#waiting) tell();
    this.#waiting.clear();
  }

  /** The power fails: containers and what /run held are gone. */
  powerCut(): void {
    this.crash();
    this.containers.clear();
    this.checker.notePowerCut();
    this.machine.reboot();
    // A disk that is slow enough has made nothing durable by itself.
    cutStorePower(this.#store, 0, (count) => this.random.below(count + 1));
    this.checker.noteLost();
    this.#runtime = emptyStoreDisk();
  }

  /** Lets the daemon crash at one of its next calls. */
  crashSoon(): void {
    if (this.life !== undefined) this.#plantCrash(this.life);
  }

  /** Resolves at the daemon's next death. */
  whenDead(): Promise<"dead"> {
    return new Promise((resolve) => this.#waiting.add(() => resolve("dead")));
  }

  /** Waits in simulated time. */
  sleep(durationMs: number): Promise<void> {
    return this.machine.clock.sleep(durationMs, this.#forever);
  }

  /** The disk under the pools is full, but for a little. */
  fillDisk(): void {
    const root = this.machine.namespace.find("/var")?.node.tree.fileSystem;
    if (root === undefined) return;
    const leftBytes = this.random.below(2) * MIB;
    const had = this.machine.read(FILLER);
    const held = typeof had === "number" ? had : 0;
    const bytes = held + root.totalBytes - root.usedBytes - leftBytes;
    if (bytes > held) this.machine.write(FILLER, bytes - (bytes % 4096));
  }

  emptyDisk(): void {
    this.machine.write(FILLER, 0);
  }

  /** From here on nothing goes wrong any more. */
  calm(): void {
    this.chaos.on = false;
    if (this.life !== undefined) this.life.crashAtCall = 0;
    this.containers.stopAll();
    this.emptyDisk();
  }

  /** The file system of the pool turns read-only, as after an I/O error of its disk. */
  faultPool(): void {
    const mounted = this.machine.namespace.follow(`${POOLS}/${DEFAULT_POOL}/mnt`);
    const fileSystem = mounted?.node.tree.fileSystem;
    if (fileSystem?.backing != null) fileSystem.faulted = true;
  }

  /** What must not be there twice: mounts and loop devices of the pool. */
  countOfPool(): { readonly mounts: number; readonly loops: number } {
    const mounts = this.machine.namespace
      .entries()
      .filter(({ mountPoint }) => mountPoint.startsWith("/var")).length;
    const image = this.machine.namespace.find(`${POOLS}/${DEFAULT_POOL}/pool.img`)?.node;
    return { mounts, loops: image === undefined ? 0 : this.machine.loops.find(image).length };
  }

  /** Puts a layer into the pool that no volume has. */
  async plantOrphan(): Promise<void> {
    const ports = this.machine.start();
    const driver = poolMaker(POOLS, ports).build({
      ...{
        name: DEFAULT_POOL,
        driver: this.plan.driver,
        options: this.#options,
        why: "",
        createdAt: 0,
        opened: false,
      },
    });
    const layer = newId<LayerId>(ports.clock, ports.random);
    const owner = { uid: 0, gid: 0, mode: 0o755 };
    await driver.open(this.#forever);
    await driver.prepare(layer, { parent: null, sizeBytes: null, owner }, this.#forever);
    this.orphan = layer;
  }

  #plantCrash(life: Life): void {
    life.crashAtCall = life.calls + 1 + this.random.below(60);
    life.crashAfter = this.random.below(2) === 0;
  }

  #build(life: Life): Node {
    const { clock, random, kernel, files, exec } = this.machine.start();
    const { chaos, machine } = this;
    const step = (): void => this.checker.step();
    const disk = {
      kernel: chaos.wrap(life, kernel, "disk"),
      files: chaos.wrap(life, files, "disk"),
      exec: chaos.wrap(life, exec, "disk"),
    };
    const store: Store = chaos.wrap(life, new SimStore(machine.clock, this.#store), "store", step);
    return buildNode(
      {
        store: {
          ...store,
          txn: (compares, writes, how) => {
            this.checker.snapshots.begin(writes);
            return store.txn(compares, writes, how);
          },
        },
        runtime: chaos.wrap(life, new SimStore(machine.clock, this.#runtime), "store"),
        maker: poolMaker(POOLS, disk),
        kernel: disk.kernel,
        files: disk.files,
        engines: [this.#engine()],
        ...{ clock, random, log: silent },
      },
      this.#settings,
    );
  }

  #engine(): Engine {
    const silentNow = (): boolean =>
      this.chaos.on && this.plan.troubles.has("engineSilent") && this.random.below(2) === 0;
    return engineThat({
      listContainers: async (name): Promise<readonly EngineContainer[]> => {
        if (silentNow()) throw new Failure("unavailable", "The engine does not answer");
        return this.containers.list(name);
      },
    });
  }
}

/** What was thrown, with its causes. */
export function describe(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const cause = thrown.cause === undefined ? "" : `; ${describe(thrown.cause)}`;
  return `${thrown.message}${cause}${thrown instanceof Failure ? "" : ` ${thrown.stack}`}`;
}
