import { Worker } from "node:worker_threads";
import { Failure } from "../core/failure.ts";
import { failureOfErrno } from "./errno.ts";
import type { SyscallAnswer, SyscallFailure, SyscallRequest } from "./syscall-message.ts";

/** A call that somebody waits for. */
export interface SyscallJob {
  readonly request: SyscallRequest;
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: unknown) => void;
}

/** A thread that has calls hangs after so many looks without an answer. */
const HANGING_LOOKS = 3;

/**
 * A thread for system calls, and those handed to it: it makes them one after the other, in their order. One that it has
 * not begun can be taken back. For that its calls are numbered from 1, here and there, and both set the number of the
 * last that was begun or taken back: the thread from n-1 to n when it begins n, and if it finds another number there,
 * then n was taken back.
 */
export class SyscallThread {
  /** Idle since the last call, to end one day. */
  idle: NodeJS.Timeout | undefined;
  readonly #worker: Worker;
  readonly #begun = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  /** Handed over and not answered, in this order. */
  readonly #jobs: SyscallJob[] = [];
  /** The number of the last that was handed over. */
  #given = 0;
  /** Looks since the last answer, or since it had nothing to do. */
  #looks = 0;
  #cause: unknown = new Error("the thread ended");

  /** @param on What follows the answer of a call, and the end of the thread, after all its answers. */
  constructor(heapMb: number, on: { readonly answer: () => void; readonly end: () => void }) {
    this.#worker = new Worker(new URL("./syscall-worker.ts", import.meta.url), {
      workerData: this.#begun,
      resourceLimits: { maxOldGenerationSizeMb: heapMb, maxYoungGenerationSizeMb: 2 },
    });
    this.#worker.unref();
    this.#worker.on("message", (answer: SyscallAnswer) => {
      this.#settle(answer);
      on.answer();
    });
    this.#worker.on("error", (cause) => {
      this.#cause = cause;
    });
    this.#worker.on("exit", on.end);
  }

  /** Calls that it has to answer. */
  get load(): number {
    return this.#jobs.length;
  }

  /** Whether it has calls, and has answered none for several looks. */
  get hangs(): boolean {
    return this.#looks >= HANGING_LOOKS && this.#jobs.length > 0;
  }

  /** One more call. */
  give(job: SyscallJob): void {
    if (this.#jobs.length === 0) {
      clearTimeout(this.idle);
      this.#looks = 0;
      // Only a thread with work keeps the process alive.
      this.#worker.ref();
    }
    this.#post(job);
  }

  /** To be called from time to time while it has calls. */
  look(): void {
    this.#looks++;
  }

  /** Takes those back that it has not begun, but for its first, in their order: it will not make them. */
  takeBack(): readonly SyscallJob[] {
    if (this.#jobs.length < 2) return [];
    const begun = Atomics.exchange(this.#begun, 0, this.#given);
    const back = this.#jobs.splice(this.#jobs.length - ((this.#given - begun) | 0));
    const first = this.#jobs.length === 0 ? back.shift() : undefined;
    if (first !== undefined) this.#post(first);
    return back;
  }

  /** After its end: its first call fails, begun or not, since the next thread might end of it too. @returns The others. */
  lose(): readonly SyscallJob[] {
    const [first, ...back] = this.#jobs.splice(0);
    first?.reject(new Failure("internal", "Internal error", { cause: this.#cause }));
    return back;
  }

  /** Ends it. */
  end(): void {
    void this.#worker.terminate();
  }

  #post(job: SyscallJob): void {
    this.#worker.postMessage(job.request);
    this.#jobs.push(job);
    this.#given = (this.#given + 1) | 0;
  }

  #settle(answer: SyscallAnswer): void {
    const job = this.#jobs.shift();
    this.#looks = 0;
    if (this.#jobs.length === 0) this.#worker.unref();
    if ("value" in answer) job?.resolve(answer.value);
    else job?.reject(failureOf(answer));
  }
}

function failureOf(answer: SyscallFailure): Failure {
  const { call, path, errno, code, why } = answer;
  return failureOfErrno(call, path, errno, {
    ...(code !== undefined && { code }),
    ...(why !== undefined && { why }),
  });
}
