import type { FileStep } from "../core/ports/files.ts";
import { syscallThreads } from "./syscall-threads.ts";

/** Most at once: all programs of one user share what the kernel allows, 8,192 or more. */
const LIMIT = 1_024;

/** sys/inotify.h: bits of an event's mask, and where its fields lie. */
const IN_Q_OVERFLOW = 0x4000;
const IN_IGNORED = 0x8000;
const MASK_AT = 4;
const NAME_LENGTH_AT = 12;
const NAME_AT = 16;

/** Where events come from, and `readEvents` of it. */
interface Watcher {
  readonly fd: number;
  readonly read: (events: Buffer) => number;
}

/**
 * Directories that are watched by inotify(7). Each watch ends with its first event; what it tells is in memory when the call that
 * changed the directory returns, so that it is read on the event loop, without a wait and whatever the disk does.
 */
export class DirectoryWatches {
  readonly #limit: number;
  readonly #events = Buffer.alloc(64 * 1024);
  #opening: Promise<Watcher | undefined> | undefined;
  #watcher: Watcher | undefined;
  /** By path; the oldest first. */
  readonly #watches = new Map<string, number>();
  /** The paths of watches whose end has not been read. */
  readonly #paths = new Map<number, string>();
  /** Watches that ended before the answer came that told of them. */
  readonly #early = new Set<number>();
  /** How often events were lost. */
  #losses = 0;

  constructor(limit: number = LIMIT) {
    this.#limit = limit;
  }

  /** `Files.perform`, of steps of which one watches. */
  async perform(steps: readonly FileStep[]): Promise<void> {
    this.#opening ??= openWatcher().catch(() => undefined);
    this.#watcher = await this.#opening;
    const fd = this.#watcher?.fd;
    const losses = this.#losses;
    const ended = this.#excess();
    const watches = await (ended.length === 0
      ? syscallThreads.call("performSteps", steps, fd)
      : syscallThreads.call("performSteps", steps, fd, ended));
    if (losses !== this.#losses) return;
    const paths = steps.flatMap((step) => (step.do === "watch" ? step.path : []));
    for (const [nth, path] of paths.entries()) {
      const watch = watches[nth] ?? -1;
      if (watch < 0 || this.#early.delete(watch)) continue;
      this.#watches.delete(path);
      this.#watches.set(path, watch);
      this.#paths.set(watch, path);
    }
  }

  /** `Files.isUnchanged`. */
  isUnchanged(path: string): boolean {
    if (!this.#watches.has(path)) return false;
    this.#read();
    return this.#watches.has(path);
  }

  /** Watches that have to end before there can be another. */
  #excess(): readonly number[] {
    if (this.#watches.size < this.#limit) return [];
    this.#read();
    const over = Math.max(0, this.#watches.size - this.#limit + 1);
    const oldest = [...this.#watches.entries().take(over)];
    for (const [path] of oldest) this.#watches.delete(path);
    return oldest.map(([, watch]) => watch);
  }

  /** Hears all events that there are. */
  #read(): void {
    const events = this.#events;
    for (;;) {
      const length = this.#readSome();
      if (length === 0) return;
      for (let at = 0; at < length; at += NAME_AT + events.readUInt32LE(at + NAME_LENGTH_AT)) {
        this.#hear(events.readInt32LE(at), events.readUInt32LE(at + MASK_AT));
      }
    }
  }

  /** How many bytes of events were read; 0: there are none. */
  #readSome(): number {
    const length = this.#watcher?.read(this.#events) ?? 0;
    if (length < 0) this.#lose();
    return Math.max(0, length);
  }

  #hear(watch: number, mask: number): void {
    if ((mask & IN_Q_OVERFLOW) !== 0) this.#lose();
    const path = this.#paths.get(watch);
    if (path !== undefined && this.#watches.get(path) === watch) this.#watches.delete(path);
    if ((mask & IN_IGNORED) !== 0 && !this.#paths.delete(watch)) this.#early.add(watch);
  }

  /** Any of them may have changed. */
  #lose(): void {
    this.#losses++;
    this.#watches.clear();
  }
}

/** Undefined: there is none to be had. What it needs is loaded here, and only where something is watched: it takes some megabytes. */
async function openWatcher(): Promise<Watcher | undefined> {
  const { openWatcher: open, readEvents } = await import("./syscalls-watch.ts");
  const fd = open();
  return fd === undefined ? undefined : { fd, read: (events) => readEvents(fd, events) };
}
