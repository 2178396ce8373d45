import { Failure } from "../core/failure.ts";
import type { Syscalls } from "./syscall-message.ts";
import { type SyscallJob, SyscallThread } from "./syscall-thread.ts";

/** Most threads at once, unless told. A call that hangs occupies one until it ends. */
export const THREAD_LIMIT = 16;
/** How many calls may wait for a thread; more are refused with `unavailable`. */
export const WAITING_LIMIT = 10_000;
/** How many calls a thread is given at once, unless told: one that is awake needs no other to wake it for the next. */
const DEPTH = 8;
/** How often threads are looked at while calls wait, in milliseconds: three looks find out that one hangs. */
const LOOK_MS = 10;
/** How long a thread beyond the first may be idle before it ends, in milliseconds, unless told. */
const IDLE_MS = 10_000;
/** Memory for the long-lived objects of a thread, in MiB, unless told. */
const HEAP_MB = 16;

/**
 * Makes system calls that can wait, off the event loop: each in a worker thread, one call a thread at a time. One
 * thread is kept warm, and takes more calls while it is at one; what is behind a call that hangs is taken back in
 * 20 to 30 ms and goes to another thread. So a call that hangs holds up no other, and many quick ones start no thread.
 */
export class SyscallThreads {
  readonly #threads = new Set<SyscallThread>();
  /** Calls for which no thread has room: each is full or hangs. */
  readonly #waiting: SyscallJob[] = [];
  readonly #limit: number;
  readonly #depth: number;
  readonly #idleMs: number;
  readonly #heapMb: number;
  readonly #warm: number;
  #looking: NodeJS.Timeout | undefined;

  constructor(
    options: {
      readonly limit?: number;
      /** 1: for calls that take long. */
      readonly depth?: number;
      readonly idleMs?: number;
      readonly heapMb?: number;
      /** False: the first ends too when it is idle. */
      readonly keepsOne?: boolean;
    } = {},
  ) {
    this.#warm = options.keepsOne === false ? 0 : 1;
    this.#limit = options.limit ?? THREAD_LIMIT;
    this.#depth = options.depth ?? DEPTH;
    this.#idleMs = options.idleMs ?? IDLE_MS;
    this.#heapMb = options.heapMb ?? HEAP_MB;
  }

  /** @throws {Failure} as `errno.ts` maps the call's errno; `unavailable` when {@link WAITING_LIMIT} calls wait. */
  call<Name extends keyof Syscalls>(
    name: Name,
    ...args: Parameters<Syscalls[Name]>
  ): Promise<ReturnType<Syscalls[Name]>> {
    return new Promise((resolve, reject) => {
      const take = (value: unknown): void => resolve(value as ReturnType<Syscalls[Name]>);
      this.#accept({ request: { name, args }, resolve: take, reject });
    });
  }

  /** Threads there are now. */
  get size(): number {
    return this.#threads.size;
  }

  #accept(job: SyscallJob): void {
    const thread = this.#waiting.length === 0 ? this.#room() : undefined;
    if (thread !== undefined) this.#give(thread, job);
    else if (this.#waiting.length < WAITING_LIMIT) {
      this.#waiting.push(job);
      this.#lookLater();
    } else {
      job.reject(
        new Failure("unavailable", "Cannot reach the storage: too many calls wait for it"),
      );
    }
  }

  #give(thread: SyscallThread, job: SyscallJob): void {
    thread.give(job);
    if (thread.load > 1) this.#lookLater();
  }

  /** The thread with the fewest calls, the first of these, if it has room; a new one where there is none. */
  #room(): SyscallThread | undefined {
    if (this.#threads.size === 0) return this.#start();
    let best: SyscallThread | undefined;
    for (const thread of this.#threads) {
      const takes = thread.load < this.#depth && !thread.hangs;
      if (takes && thread.load < (best?.load ?? this.#depth)) best = thread;
    }
    return best;
  }

  /** Hands over what waits, as far as there is room. */
  #handOver(): void {
    while (this.#waiting.length > 0) {
      const thread = this.#room();
      const job = thread === undefined ? undefined : this.#waiting.shift();
      if (thread === undefined || job === undefined) return;
      this.#give(thread, job);
    }
  }

  #lookLater(): void {
    this.#looking ??= setTimeout(() => {
      this.#looking = undefined;
      this.#look();
    }, LOOK_MS);
  }

  /** Another thread starts when calls wait and all hang. */
  #look(): void {
    for (const thread of this.#threads) {
      thread.look();
      if (thread.hangs) this.#waiting.unshift(...thread.takeBack());
    }
    const mayStart = this.#threads.size < this.#limit;
    if (mayStart && this.#waiting.length > 0 && this.#all((thread) => thread.hangs)) this.#start();
    this.#handOver();
    const waits = mayStart && this.#waiting.length > 0;
    if (waits || !this.#all((thread) => thread.load <= 1)) this.#lookLater();
  }

  #all(holds: (thread: SyscallThread) => boolean): boolean {
    return [...this.#threads].every(holds);
  }

  #start(): SyscallThread {
    const answer = (): void => this.#goOn(thread);
    const end = (): void => this.#lose(thread);
    const thread = new SyscallThread(this.#heapMb, { answer, end });
    this.#threads.add(thread);
    return thread;
  }

  #goOn(thread: SyscallThread): void {
    this.#handOver();
    if (thread.load === 0 && this.#threads.size > this.#warm) this.#endWhenIdle(thread);
  }

  #endWhenIdle(thread: SyscallThread): void {
    thread.idle = setTimeout(() => {
      if (this.#threads.size === this.#warm) return;
      this.#threads.delete(thread);
      thread.end();
    }, this.#idleMs);
    thread.idle.unref();
  }

  #lose(thread: SyscallThread): void {
    this.#threads.delete(thread);
    this.#waiting.unshift(...thread.lose());
    this.#handOver();
    if (this.#waiting.length > 0) this.#lookLater();
  }
}

/** The daemon's threads for system calls. */
export const syscallThreads: SyscallThreads = new SyscallThreads();
