import { Worker } from "node:worker_threads";
import { Failure } from "../../core/failure.ts";
import type { StoreEntry } from "../../core/ports/store.ts";
import { storeClosed } from "../../core/store/feed.ts";
import { Desk, type Keeping } from "./desk.ts";
import {
  type Call,
  failureOf,
  type Given,
  type Opened,
  type Order,
  type Report,
  type Start,
} from "./message.ts";

/** Calls that may wait or be under way; one more is refused. */
const CALLS_LIMIT = 10_000;
/** Most calls of one batch, and the length of values that ends one. */
const BATCH_LIMIT = 256;
const BATCH_LIMIT_LENGTH = 8 * 1024 ** 2;
/** How many entries are remembered for reads, and how long the value of one may be. As a rule it is some hundred bytes. */
const RECENT_LIMIT = 4_096;
const RECENT_LIMIT_LENGTH = 4_096;
/** Upper limits of the worker's own memory; SQLite's cache comes on top. */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 16, maxOldGenerationSizeMb: 256 };

interface Waiting {
  readonly call: Call;
  readonly resolve: (given: Given[Call["do"]]) => void;
  readonly reject: (failure: Failure) => void;
}

/** What a {@link Line} tells besides answers. */
export interface LineEvents {
  /** The store has come to this revision, and these keys have changed. Told before the answers are given. */
  readonly changed: (revision: number, keys: readonly string[]) => void;
  /** The worker has failed for good, or has died. Told once. */
  readonly failed: (failure: Failure) => void;
}

/**
 * The line to the worker. What waits goes as one batch, as soon as the last batch is done: so the changes of many
 * callers share one commit, and a lone caller waits for nobody.
 */
export class Line {
  readonly #worker: Keeping;
  readonly #events: LineEvents;
  readonly #gone: Promise<void>;
  /** What was read lately, the oldest first. Whole: this process alone writes, and hears of each change here. */
  readonly #recent = new Map<string, StoreEntry | undefined>();
  #waiting: Waiting[] = [];
  /** By place in the batch; what has been answered is no longer there. */
  readonly #underWay = new Map<number, Waiting>();
  #state: "idle" | "scheduled" | "busy" | "closing" = "idle";
  #closed = false;
  #failure: Failure | undefined;

  constructor(worker: Keeping, path: string, events: LineEvents) {
    this.#worker = worker;
    this.#events = events;
    this.#gone = new Promise((resolve) => worker.once("exit", () => resolve()));
    worker.on("message", (report: Report) => this.#hear(report));
    worker.on("error", (thrown) => this.#lose(workerDied(path, thrown)));
    worker.on("exit", () => {
      if (this.#state !== "closing") this.#lose(workerDied(path, undefined));
    });
  }

  /** @throws {Failure} `unavailable` when the store is closed, or has failed. */
  checkOpen(): void {
    if (this.#closed) throw this.#failure ?? storeClosed();
  }

  /** {@link call} for `get`, without asking the worker where the answer is known. */
  async get(key: string): Promise<StoreEntry | undefined> {
    this.checkOpen();
    return this.#recent.has(key) ? this.#recent.get(key) : this.call({ do: "get", key });
  }

  /** Sends one call, in its turn. */
  async call<C extends Call>(call: C): Promise<Given[C["do"]]> {
    this.checkOpen();
    if (this.#waiting.length + this.#underWay.size >= CALLS_LIMIT) {
      const message = `Cannot use the store: ${CALLS_LIMIT} calls are waiting for its disk; try again later`;
      throw new Failure("resource_exhausted", message);
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ call, resolve: resolve as Waiting["resolve"], reject });
      this.#wake();
    });
  }

  /** Refuses new calls, lets the others finish, and waits until the file is closed. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#failure !== undefined) return;
    this.#wake();
    await this.#gone;
  }

  #wake(): void {
    if (this.#state !== "idle") return;
    this.#state = "scheduled";
    queueMicrotask(() => this.#send());
  }

  #send(): void {
    if (this.#failure !== undefined) return;
    if (this.#waiting.length === 0) {
      this.#state = this.#closed ? "closing" : "idle";
      if (this.#closed) this.#order({ do: "close" });
      return;
    }
    this.#state = "busy";
    let length = 0;
    let count = 0;
    while (count < Math.min(this.#waiting.length, BATCH_LIMIT) && length < BATCH_LIMIT_LENGTH) {
      length += lengthOf(this.#waiting[count]?.call);
      count++;
    }
    const batch = this.#waiting.splice(0, count);
    for (const [at, waiting] of batch.entries()) this.#underWay.set(at, waiting);
    this.#order({ do: "batch", calls: batch.map(({ call }) => call) });
  }

  #order(order: Order): void {
    this.#worker.postMessage(order);
  }

  #hear(report: Report): void {
    switch (report.kind) {
      case "failed":
        this.#lose(failureOf(report.failure));
        break;
      case "answers":
        this.#settle(report);
        break;
      case "opened":
      case "refused":
      case "closed":
        break;
    }
  }

  #settle({ answers, revision, keys, done }: Report & { readonly kind: "answers" }): void {
    for (const key of keys) this.#recent.delete(key);
    if (keys.length > 0) this.#events.changed(revision, keys);
    for (const answer of answers) {
      const waiting = this.#underWay.get(answer.at);
      this.#underWay.delete(answer.at);
      if ("failure" in answer) waiting?.reject(failureOf(answer.failure));
      else {
        if (waiting?.call.do === "get") this.#remember(waiting.call.key, answer.given);
        waiting?.resolve(answer.given);
      }
    }
    // Whoever goes on from these answers with another call is to be in the next batch.
    if (done) setImmediate(() => this.#send());
  }

  #remember(key: string, given: Given[Call["do"]]): void {
    const entry = given as Given["get"];
    if (entry !== undefined && entry.value.length > RECENT_LIMIT_LENGTH) return;
    this.#recent.set(key, entry);
    if (this.#recent.size <= RECENT_LIMIT) return;
    const [oldest] = this.#recent.keys();
    if (oldest !== undefined) this.#recent.delete(oldest);
  }

  #lose(failure: Failure): void {
    if (this.#failure !== undefined) return;
    this.#failure = failure;
    this.#closed = true;
    for (const { reject } of [...this.#underWay.values(), ...this.#waiting]) reject(failure);
    this.#underWay.clear();
    this.#waiting = [];
    this.#events.failed(failure);
  }
}

/**
 * Starts what works on the database and has it open it: a thread where an access may have to wait for a disk.
 *
 * @throws {Failure} as `openDatabase`.
 */
export async function startWorker(start: Start): Promise<{ worker: Keeping; opened: Opened }> {
  const worker: Keeping = start.durability === "process" ? new Desk(start) : startThread(start);
  const gone = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
  const first = await new Promise<Report>((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", (thrown) => reject(workerDied(start.path, thrown)));
    worker.once("exit", () => reject(workerDied(start.path, undefined)));
  });
  if (first.kind === "opened") return { worker, opened: first };
  await gone;
  throw first.kind === "refused" ? failureOf(first.failure) : workerDied(start.path, undefined);
}

function startThread(start: Start): Worker {
  return new Worker(new URL("./worker.ts", import.meta.url), {
    name: "lagan-store",
    workerData: start,
    // Nothing of how the main thread was started (a loader, an inspector) is for this one.
    execArgv: [],
    resourceLimits: RESOURCE_LIMITS,
  });
}

function workerDied(path: string, cause: unknown): Failure {
  const message = `Cannot use the store ${path}: its thread has ended; restart lagand`;
  return new Failure("unavailable", message, { cause });
}

function lengthOf(call: Call | undefined): number {
  if (call?.do !== "txn") return 0;
  return call.writes.reduce((sum, write) => sum + (write.do === "put" ? write.value.length : 0), 0);
}
