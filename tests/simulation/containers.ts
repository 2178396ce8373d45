import type { EngineContainer } from "../../src/core/ports/engine.ts";
import type { SimProcess } from "../../src/sim/process.ts";
import { type Tracked, type VolumeFile, valuesOf } from "./model.ts";
import type { NodeOnTrial } from "./node-on-trial.ts";

const KIB = 1024;

/** A container of an engine, with the volume at /data. */
export interface Container {
  readonly id: string;
  readonly name: string;
  readonly tracked: Tracked;
  readonly process: SimProcess;
  running: boolean;
}

/** The machine's containers. What they write is what must be there later. */
export class Containers {
  readonly #trial: NodeOnTrial;
  readonly #all = new Set<Container>();
  #last = 0;

  constructor(trial: NodeOnTrial) {
    this.#trial = trial;
  }

  /** What the engine says of a volume. */
  list(volumeName: string): readonly EngineContainer[] {
    return [...this.#all]
      .filter(({ name }) => name === volumeName)
      .map(({ id, running }) => ({ id, name: `c${id.slice(-4)}`, running }));
  }

  /** Undefined when the path is gone: the engine says that it could not start it. */
  start(tracked: Tracked, name: string, path: string): Container | undefined {
    const { machine } = this.#trial;
    if (machine.namespace.find(path) === undefined) return undefined;
    const number = ++this.#last;
    const id = number.toString(16).padStart(64, "0");
    const process = machine.process({
      ...{ pid: 1000 + number, command: "app", containerId: id },
      mounts: [{ source: path, target: "/data" }],
    });
    const container = { id, name, tracked, process, running: true };
    this.#all.add(container);
    tracked.containers++;
    return container;
  }

  stop(container: Container): void {
    if (!container.running) return;
    container.running = false;
    container.tracked.containers--;
    container.process.exit();
  }

  /** `docker rm`. */
  remove(container: Container): void {
    this.stop(container);
    this.#all.delete(container);
  }

  stopAll(): void {
    for (const container of this.#all) this.remove(container);
  }

  /** The power is gone. */
  clear(): void {
    for (const container of this.#all) {
      if (container.running) container.tracked.containers--;
      container.running = false;
    }
    this.#all.clear();
    for (const tracked of this.#trial.checker.volumes.values()) tracked.hints.clear();
  }

  /** Writes one file, and perhaps syncs it. */
  write({ tracked, process, running }: Container): void {
    if (!running) return;
    const { random } = this.#trial;
    const big = random.below(3) === 0;
    const name = big ? "big" : `f${random.below(3)}`;
    const content = big ? 4 * KIB * (1 + random.below(5_000)) : `token ${random.below(1_000_000)}`;
    const sizeBytes = typeof content === "number" ? content : content.length;
    const path = `/data/${name}`;
    const before = tracked.files.get(name);
    const newest = process.read(path) || undefined;
    try {
      process.write(path, content);
    } catch {
      // Full, over its limit or read-only: the application is told, and what was there stays.
      return;
    }
    const between = [...(before?.between ?? []), newest];
    const synced = before?.synced;
    let file: VolumeFile = {
      ...{ newest: content, synced, between, sizeBytes, powerFailed: false },
    };
    if (random.below(2) === 0 && this.#synced(process, path)) {
      file = { ...file, synced: content, between: [], powerFailed: false };
    }
    tracked.files.set(name, file);
    tracked.past.push(valuesOf(tracked.files));
    this.#trial.checker.checkContent(tracked);
  }

  #synced(process: SimProcess, path: string): boolean {
    try {
      process.fsync(path);
      return true;
    } catch {
      return false;
    }
  }
}
