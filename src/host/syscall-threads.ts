import { Worker } from "node:worker_threads";
import { Failure } from "../core/failure.ts";
import { failureOfErrno } from "./errno.ts";
import type { SyscallAnswer, SyscallFailure, SyscallRequest, Syscalls } from "./syscall-message.ts";

/** Most threads at once, unless told. A call that hangs occupies one until it ends. */
export const THREAD_LIMIT = 16;
/** How many calls may wait for a thread; more are refused with `unavailable`. */
export const WAITING_LIMIT = 10_000;
/** When calls wait and none has ended for so long, another thread is started; in milliseconds. */
const GROW_MS = 20;
/** How long a thread beyond the first may be idle before it ends, in milliseconds, unless told. */
const IDLE_MS = 10_000;
/** Memory for the long-lived objects of a thread, in MiB, unless told. */
const HEAP_MB = 16;

interface Job {
  readonly request: SyscallRequest;
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: unknown) => void;
}

interface Thread {
  readonly worker: Worker;
  job: Job | undefined;
  idle: NodeJS.Timeout | undefined;
}

/**
 * Makes system calls that can wait, off the event loop: each in a worker thread, one call a thread at a time. One
 * thread is kept warm; more come when calls wait and none ends, so that a call that hangs holds up no other, and many
 * quick ones start no thread.
 */
export class SyscallThreads {
  readonly #threads = new Set<Thread>();
  readonly #waiting: Job[] = [];
  readonly #limit: number;
  readonly #idleMs: number;
  readonly #heapMb: number;
  readonly #warm: number;
  #growing: NodeJS.Timeout | undefined;
  /** Calls that have ended so far. */
  #finished = 0;

  constructor(
    options: {
      readonly limit?: number;
      readonly idleMs?: number;
      readonly heapMb?: number;
      /** False: the first ends too when it is idle. */
      readonly keepsOne?: boolean;
    } = {},
  ) {
    this.#warm = options.keepsOne === false ? 0 : 1;
    this.#limit = options.limit ?? THREAD_LIMIT;
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
      this.#give({ request: { name, args }, resolve: take, reject });
    });
  }

  /** Threads there are now. */
  get size(): number {
    return this.#threads.size;
  }

  #give(job: Job): void {
    const idle = [...this.#threads].find((thread) => thread.job === undefined);
    if (idle !== undefined) this.#run(idle, job);
    else if (this.#threads.size === 0) this.#run(this.#start(), job);
    else if (this.#waiting.length < WAITING_LIMIT) {
      this.#waiting.push(job);
      this.#growLater();
    } else {
      job.reject(
        new Failure("unavailable", "Cannot reach the storage: too many calls wait for it"),
      );
    }
  }

  #growLater(): void {
    if (this.#threads.size >= this.#limit) return;
    const finished = this.#finished;
    this.#growing ??= setTimeout(() => {
      this.#growing = undefined;
      const stuck = this.#finished === finished;
      const next = stuck ? this.#waiting.shift() : undefined;
      if (next !== undefined) this.#run(this.#start(), next);
      if (this.#waiting.length > 0) this.#growLater();
    }, GROW_MS);
  }

  #run(thread: Thread, job: Job): void {
    clearTimeout(thread.idle);
    thread.job = job;
    // Only a thread with work keeps the process alive.
    thread.worker.ref();
    thread.worker.postMessage(job.request);
  }

  #start(): Thread {
    const worker = new Worker(new URL("./syscall-worker.ts", import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: this.#heapMb, maxYoungGenerationSizeMb: 2 },
    });
    const thread: Thread = { worker, job: undefined, idle: undefined };
    this.#threads.add(thread);
    worker.unref();
    worker.on("message", (answer: SyscallAnswer) => this.#finish(thread, answer));
    worker.on("error", (cause) => this.#lose(thread, cause));
    worker.on("exit", () => this.#lose(thread, new Error("the thread ended")));
    return thread;
  }

  #finish(thread: Thread, answer: SyscallAnswer): void {
    const { job } = thread;
    thread.job = undefined;
    this.#finished++;
    if (job !== undefined) {
      if ("value" in answer) job.resolve(answer.value);
      else job.reject(failureOf(answer));
    }
    const next = this.#waiting.shift();
    if (next !== undefined) this.#run(thread, next);
    else {
      thread.worker.unref();
      this.#endWhenIdle(thread);
    }
  }

  #endWhenIdle(thread: Thread): void {
    thread.idle = setTimeout(() => {
      if (this.#threads.size === this.#warm) return;
      this.#threads.delete(thread);
      void thread.worker.terminate();
    }, this.#idleMs);
    thread.idle.unref();
  }

  #lose(thread: Thread, cause: unknown): void {
    this.#threads.delete(thread);
    thread.job?.reject(new Failure("internal", "Internal error", { cause }));
    thread.job = undefined;
    const next = this.#waiting.shift();
    if (next !== undefined) this.#give(next);
  }
}

function failureOf(answer: SyscallFailure): Failure {
  const { call, path, errno, code, why } = answer;
  return failureOfErrno(call, path, errno, {
    ...(code !== undefined && { code }),
    ...(why !== undefined && { why }),
  });
}

/** The daemon's threads for system calls. */
export const syscallThreads: SyscallThreads = new SyscallThreads();
