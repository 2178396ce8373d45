import { Failure, invariant } from "../core/failure.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Exec } from "../core/ports/exec.ts";
import type { Files } from "../core/ports/files.ts";
import type { Kernel } from "../core/ports/kernel.ts";
import type { Random } from "../core/ports/random.ts";
import { SimClock } from "./clock.ts";
import { SIM_COMMANDS, type SimCommand } from "./commands.ts";
import { SimExec } from "./exec.ts";
import { SimFileSystem } from "./file-system.ts";
import { SimFiles } from "./files.ts";
import { Incarnation } from "./incarnation.ts";
import { SimKernel } from "./kernel.ts";
import { SimLoops } from "./loops.ts";
import { type Place, SimMountNamespace } from "./mount-namespace.ts";
import { EMPTY, type SimNode } from "./node.ts";
import { type ProcessOptions, SimProcess } from "./process.ts";
import { SimRandom } from "./random.ts";

/** How a simulated machine is made. */
export interface MachineOptions {
  /** Everything that happens follows from it. */
  readonly seed: number;
  /** Time, when several machines share it. */
  readonly clock?: SimClock;
  /** Type of the root file system: `ext4` unless told. `xfs` and `btrfs` can clone files. */
  readonly rootType?: "ext4" | "xfs" | "btrfs";
  /** Size of the root file system: 64 GiB unless told. */
  readonly rootBytes?: number;
  /**
   * Each call takes 1 to so many microtasks before it has its effect, chosen by the seed: with 1 (the default)
   * calls happen in the order in which they are made, with more in one of many orders.
   */
  readonly maxTurns?: number;
}

/** A mount that a container has of a path of the machine. */
export interface ContainerMount {
  readonly source: string;
  readonly target: string;
  readonly readOnly?: boolean;
}

/** The machine's ports as one run of our process has them. */
export interface SimPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly files: Files;
  readonly kernel: Kernel;
  readonly exec: Exec;
}

const GIB = 1024 ** 3;
/** Types that are gone after their last unmount. */
const IN_MEMORY: ReadonlySet<string> = new Set(["overlay", "tmpfs"]);
const ROOT_DIRECTORIES = ["/dev", "/etc", "/run", "/tmp", "/var", "/var/lib"];

/**
 * A machine in memory, with disks, mounts and processes. It runs our process through {@link start}, and everything
 * else that a machine does through its own methods, which a test calls.
 *
 * 1. Everything follows from the seed and from the calls: nothing waits for anything but microtasks and its clock.
 * 2. `crash` ends our process only: files, mounts, loop devices and containers stay as they are.
 * 3. `powerCut` takes from every disk what was not durable. A machine that loses its power is `reboot`.
 */
export class SimMachine {
  readonly clock: SimClock;
  readonly random: SimRandom;
  /** What can be run, by name. A test adds its own and takes away what should be absent. */
  readonly commands: Map<string, SimCommand> = new Map(Object.entries(SIM_COMMANDS));
  readonly loops: SimLoops;
  readonly #maxTurns: number;
  readonly #root: SimFileSystem;
  readonly #devices: SimFileSystem;
  readonly #fileSystems = new Set<SimFileSystem>();
  readonly #processes = new Map<number, SimProcess>();
  readonly #incarnations = new Set<Incarnation>();
  #init: SimProcess;
  #lastMinor = 30;
  #lastMount = 20;

  constructor(options: MachineOptions) {
    this.clock = options.clock ?? new SimClock();
    this.random = new SimRandom(options.seed);
    this.#maxTurns = options.maxTurns ?? 1;
    this.#root = this.makeFileSystem({
      type: options.rootType ?? "ext4",
      totalBytes: options.rootBytes ?? 64 * GIB,
      disk: 1,
    });
    this.#devices = this.makeFileSystem({ type: "devtmpfs", totalBytes: GIB });
    this.loops = new SimLoops(this.#devices);
    for (const path of ROOT_DIRECTORIES) {
      const names = path.slice(1).split("/");
      const name = names.pop() ?? "";
      let directory = this.#root.top.root;
      for (const parent of names) directory = directory.entries.get(parent) ?? directory;
      this.#root.create(directory, name, "directory", { mode: 0o755, uid: 0, gid: 0 });
    }
    this.#root.commit();
    this.#init = this.#boot();
  }

  /** The mounts that our process sees. */
  get namespace(): SimMountNamespace {
    return this.#init.namespace;
  }

  /** Process 1: a test's hand on this machine, in our own mount namespace. */
  get init(): SimProcess {
    return this.#init;
  }

  /** Every running process but ours, by pid. */
  get processes(): readonly SimProcess[] {
    return [this.#init, ...[...this.#processes.values()].sort((a, b) => a.pid - b.pid)];
  }

  /** Starts our process: the ports that one run of it has. */
  start(): SimPorts {
    const incarnation = new Incarnation(this.clock, this.random.fork(), this.#maxTurns);
    this.#incarnations.add(incarnation);
    const clock = this.clock.of(incarnation);
    return {
      clock,
      random: this.random.fork(),
      files: new SimFiles(this, incarnation),
      kernel: new SimKernel(this, incarnation),
      exec: new SimExec(this, incarnation, clock),
    };
  }

  /** `kill -9` of our process. What it waits for never resolves; what it still calls has no effect. */
  crash(): void {
    for (const incarnation of this.#incarnations) incarnation.die();
    this.#incarnations.clear();
  }

  /** Crashes our process and takes from every disk what was not durable; see {@link reboot}. */
  powerCut(): void {
    this.crash();
    for (const fileSystem of this.#fileSystems) fileSystem.revert();
  }

  /** The power fails, and the machine starts again: no mounts but the system's, no loop devices, no processes. */
  reboot(): void {
    this.powerCut();
    this.#processes.clear();
    this.loops.clear();
    for (const fileSystem of this.#fileSystems) {
      if (IN_MEMORY.has(fileSystem.type)) this.#fileSystems.delete(fileSystem);
    }
    this.#init = this.#boot();
  }

  /** Makes everything durable, as sync(1) or the kernel's own timer does. */
  sync(): void {
    for (const fileSystem of this.#fileSystems) fileSystem.commit();
  }

  /** Plugs in an empty disk, for good. @param path Such as `/dev/sdb`. */
  addDisk(path: string, sizeBytes: number): void {
    const [, name, ...more] = /^\/dev\/([^/]+)$/.exec(path) ?? [];
    invariant(name !== undefined && more.length === 0, `a disk lies in /dev, unlike ${path}`);
    const owner = { mode: 0o660, uid: 0, gid: 6 };
    const disk = this.#devices.create(this.#devices.top.root, name, "other", owner);
    disk.attributes = { ...disk.attributes, content: { ...EMPTY, sizeBytes } };
    this.#devices.commit();
  }

  /** Writes as an application does: see {@link SimProcess.write}. */
  write(path: string, content: string | number): void {
    this.#init.write(path, content);
  }

  /** Reads as an application does: see {@link SimProcess.read}. */
  read(path: string): string | number | undefined {
    return this.#init.read(path);
  }

  /**
   * Starts a process. With `mounts` it is a container, with a root of its own and a bind mount of each source;
   * without, it shares the namespace of `sharing`, or ours.
   */
  process(
    options: ProcessOptions & {
      readonly mounts?: readonly ContainerMount[];
      readonly sharing?: SimProcess;
    },
  ): SimProcess {
    invariant(options.pid > 1 && !this.#processes.has(options.pid), `pid ${options.pid} is free`);
    const namespace =
      options.mounts === undefined
        ? (options.sharing?.namespace ?? this.namespace)
        : this.#containerNamespace(options.mounts);
    const process = new SimProcess(options, namespace, (ended) => {
      this.#processes.delete(ended.pid);
      if (this.processes.some((other) => other.namespace === namespace)) return;
      for (const { fileSystem } of namespace.mounts) this.releaseIfUnused(fileSystem, namespace);
    });
    this.#processes.set(options.pid, process);
    return process;
  }

  /** A new file system of this machine; `inside` is the image file or device that it is made on. */
  makeFileSystem(options: {
    readonly type: string;
    readonly totalBytes: number;
    readonly disk?: number;
    readonly inside?: SimNode;
  }): SimFileSystem {
    const made = new SimFileSystem({
      type: options.type,
      totalBytes: options.totalBytes,
      ...(options.disk === undefined
        ? { minor: ++this.#lastMinor }
        : { major: 8, minor: options.disk }),
      ...(options.inside && { backing: options.inside }),
      newMinor: () => ++this.#lastMinor,
    });
    const node = options.inside;
    if (node !== undefined) {
      if (node.inside !== null) this.#fileSystems.delete(node.inside);
      node.inside = made;
    }
    this.#fileSystems.add(made);
    return made;
  }

  /** Freezes the file system at `path`, as somebody else does. */
  freeze(path: string): void {
    this.follow("freeze", path).node.tree.fileSystem.frozen = true;
  }

  /** True when any process has the file system mounted. */
  uses(fileSystem: SimFileSystem, except?: SimMountNamespace): boolean {
    const namespaces = new Set(this.processes.map(({ namespace }) => namespace));
    if (except !== undefined) namespaces.delete(except);
    return [...namespaces].some(({ mounts }) =>
      mounts.some((mount) => mount.fileSystem === fileSystem),
    );
  }

  /** After its last mount a file system is written out, and its loop device detaches itself. */
  releaseIfUnused(fileSystem: SimFileSystem, except?: SimMountNamespace): void {
    if (this.uses(fileSystem, except)) return;
    fileSystem.commit();
    if (fileSystem.backing !== null) this.loops.release(fileSystem.backing);
    else if (IN_MEMORY.has(fileSystem.type)) this.#fileSystems.delete(fileSystem);
  }

  /** The place at `path` in our own namespace, links followed. @throws {Failure} `not_found` when absent. */
  follow(call: string, path: string): Place {
    const place = this.namespace.follow(path);
    if (place !== undefined) return place;
    throw new Failure("not_found", `Cannot ${call} ${path}: no such file or directory (ENOENT)`);
  }

  #boot(): SimProcess {
    const namespace = new SimMountNamespace(() => ++this.#lastMount);
    const root = this.#root.top.root;
    namespace.add(undefined, { fileSystem: this.#root, root, source: "/dev/sda1" });
    const run = this.makeFileSystem({ type: "tmpfs", totalBytes: GIB });
    for (const [path, fileSystem] of [
      ["/dev", this.#devices],
      ["/run", run],
    ] as const) {
      const place = namespace.follow(path);
      invariant(place !== undefined, `${path} is there at boot`);
      namespace.add(place, { fileSystem, root: fileSystem.top.root, source: fileSystem.type });
    }
    return new SimProcess({ pid: 1, command: "init" }, namespace, () => {
      throw new Error("Invariant broken: process 1 never ends");
    });
  }

  #containerNamespace(mounts: readonly ContainerMount[]): SimMountNamespace {
    const namespace = new SimMountNamespace(() => ++this.#lastMount);
    const fileSystem = this.makeFileSystem({ type: "overlay", totalBytes: GIB });
    namespace.add(undefined, { fileSystem, root: fileSystem.top.root, source: "overlay" });
    const hand = new SimProcess({ pid: 0 }, namespace, () => {});
    for (const { source, target, readOnly } of mounts) {
      const { mount, node } = this.follow("mount", source);
      if (node.kind === "directory") hand.makeDirectories(target);
      else hand.write(target, "");
      const at = namespace.follow(target);
      invariant(at !== undefined, "a target that was made is there");
      const flag = readOnly === true || mount.readOnly ? "ro" : "rw";
      namespace.add(at, {
        fileSystem: mount.fileSystem,
        root: node,
        source: mount.source,
        readOnly: flag === "ro",
        options: [flag, "relatime"],
        superOptions: mount.superOptions,
      });
    }
    return namespace;
  }
}
