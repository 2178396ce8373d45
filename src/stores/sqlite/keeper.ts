import type { DatabaseSync } from "node:sqlite";
import { Failure } from "../../core/failure.ts";
import type { Mark } from "./mark.ts";
import { type Answer, type Call, type Change, type Given, type Report, textOf } from "./message.ts";
import { faultOf, wordsOf } from "./sqlite-error.ts";
import { Tables } from "./tables.ts";
import type { WriteAhead } from "./write-ahead.ts";

/** Syncs what was committed. */
type Log = Pick<WriteAhead, "sync" | "syncSoon">;

/** See {@link Keeper}. */
interface Durable {
  readonly mark: Mark;
  readonly log: Log;
  readonly failed: (thrown: unknown) => void;
}

/** A change and its place in the batch. */
interface Place {
  readonly at: number;
  readonly change: Change;
}

/** About how much is written to the WAL between two checkpoints. */
const CHECKPOINT_BYTES = 4 * 1024 ** 2;

/**
 * Carries out batches of calls on an open database.
 *
 * 1. Reads of a batch are answered first, from what is committed: no answer rests on a change that may yet fail.
 * 2. The changes of a batch are one SQLite transaction, and are answered after its commit, which is durable by then. Those
 *    that need be durable only soon are one of their own, before that, and wait for no disk.
 * 3. What it throws, or says to have failed, has left the outcome open: nothing more may be read or written.
 */
export class Keeper {
  readonly #db: DatabaseSync;
  readonly #tables: Tables;
  readonly #report: (report: Report) => void;
  readonly #mark: Mark | undefined;
  readonly #log: Log | undefined;
  readonly #failed: (thrown: unknown) => void;
  #walBytes = 0;

  /**
   * @param durable What makes a commit survive a power cut, notes that it does, and hears when one that was answered already
   *   does not; left out: nothing need.
   * @throws {Failure} `failed_precondition` when `mark` has seen more of the store than there is.
   */
  constructor(db: DatabaseSync, report: (report: Report) => void, durable?: Durable) {
    const { mark, log, failed = () => undefined } = durable ?? {};
    this.#log = log;
    this.#failed = failed;
    this.#db = db;
    this.#tables = new Tables(db);
    this.#report = report;
    this.#mark = mark;
    mark?.check(this.#tables.revision);
    report({ kind: "opened", revision: this.#tables.revision, leases: this.#tables.leases() });
  }

  /** Answers every call, in one or two reports. @throws SQLite's error when the store has failed for good. */
  perform(calls: readonly Call[]): void {
    const reads: Answer[] = [];
    const changes: Place[] = [];
    const soon: Place[] = [];
    for (const [at, call] of calls.entries()) {
      if (!isChange(call)) reads.push(answer(at, () => this.#read(call)));
      else if (call.do === "txn" && call.how?.durable === "soon") soon.push({ at, change: call });
      else changes.push({ at, change: call });
    }
    const done = changes.length + soon.length === 0;
    if (reads.length > 0 || done) this.#answer(reads, [], done);
    if (done) return;
    if (soon.length > 0) this.#commit(soon, "soon", changes.length === 0);
    if (changes.length > 0) this.#commit(changes, "now", true);
    this.#maintain();
  }

  #read(call: Exclude<Call, Change>): Given[Call["do"]] {
    switch (call.do) {
      case "get":
        return this.#tables.get(call.key);
      case "list":
        return this.#tables.list(call.prefix);
      case "history":
        return this.#tables.history(call.prefix, call.fromRevision);
    }
  }

  #change(change: Change): Given[Change["do"]] {
    switch (change.do) {
      case "txn":
        return this.#tables.txn(change.compares, change.writes);
      case "grantLease":
        return this.#tables.grantLease(change.ttlMs);
      case "endLease":
        return this.#tables.endLease(change.lease);
    }
  }

  #commit(changes: readonly Place[], durable: "now" | "soon", last: boolean): void {
    let committing = false;
    try {
      this.#db.exec("BEGIN IMMEDIATE");
      const answers = changes.map(({ at, change }) => answer(at, () => this.#change(change)));
      committing = true;
      this.#db.exec("COMMIT");
      if (durable === "now") this.#log?.sync();
      const { keys, sizeBytes } = this.#tables.committed();
      this.#walBytes += sizeBytes;
      const { revision } = this.#tables;
      if (durable === "soon") this.#log?.syncSoon((thrown) => this.#synced(revision, thrown));
      this.#answer(answers, keys, last);
      // Nobody waits for what may be behind.
      if (durable === "now") this.#mark?.note(revision);
    } catch (thrown) {
      const goesOn = this.#rollBack(thrown);
      const failure = textOf(notCommitted(thrown, goesOn, committing));
      this.#answer(
        changes.map(({ at }) => ({ at, failure })),
        [],
        goesOn && last,
      );
      if (!goesOn) throw thrown;
    }
  }

  /** A sync beside the work has ended. The mark is never ahead of the disk: what is lost would look like a store set back. */
  #synced(revision: number, thrown: unknown): void {
    if (thrown == null) this.#mark?.note(revision);
    else this.#failed(thrown);
  }

  /**
   * True when surely nothing is written and the store is sound. So it is when the file system was full: SQLite says
   * "full" of a write that came short, which in a WAL comes before the frame that commits is whole. An fsync that
   * finds no room is an I/O error to SQLite, and to us.
   */
  #rollBack(thrown: unknown): boolean {
    this.#tables.rolledBack();
    if (faultOf(thrown) !== "full") return false;
    if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
    return true;
  }

  #maintain(): void {
    if (this.#walBytes >= CHECKPOINT_BYTES) {
      this.#walBytes = 0;
      this.#unlessFull(() => this.#db.exec("PRAGMA wal_checkpoint(PASSIVE)"));
    }
    if (this.#tables.prunable) {
      this.#unlessFull(() => {
        this.#db.exec("BEGIN IMMEDIATE");
        this.#tables.prune();
        this.#db.exec("COMMIT");
      });
    }
  }

  /** On a full file system, housekeeping waits for better times: it comes again with a later batch. */
  #unlessFull(work: () => void): void {
    try {
      work();
    } catch (thrown) {
      if (!this.#rollBack(thrown)) throw thrown;
    }
  }

  #answer(answers: readonly Answer[], keys: readonly string[], done: boolean): void {
    this.#report({ kind: "answers", answers, revision: this.#tables.revision, keys, done });
  }
}

/** What every later call rejects with, once a Keeper has thrown. */
export function keeperFailed(path: string, thrown: unknown): Failure {
  return new Failure(
    "unavailable",
    `Cannot use the store ${path}: it has closed itself after an error (${wordsOf(thrown)}); check its disk, then restart lagand`,
    { cause: thrown },
  );
}

function notCommitted(thrown: unknown, full: boolean, committing: boolean): Failure {
  const words = wordsOf(thrown);
  if (full) {
    const message = `Cannot change the store: its file system is full, nothing was written; free some space (${words})`;
    return new Failure("resource_exhausted", message, { cause: thrown });
  }
  const code = committing ? "unknown" : "unavailable";
  const outcome = committing ? "whether it was written is not known" : "nothing was written";
  const message = `Cannot change the store: ${words}; ${outcome}, and the store has closed itself: check its disk, then restart lagand`;
  return new Failure(code, message, { cause: thrown });
}

function isChange(call: Call): call is Change {
  return call.do === "txn" || call.do === "grantLease" || call.do === "endLease";
}

/** A Failure is an answer; anything else thrown is the store's end. */
function answer(at: number, attempt: () => Given[Call["do"]]): Answer {
  try {
    return { at, given: attempt() };
  } catch (thrown) {
    if (!(thrown instanceof Failure)) throw thrown;
    return { at, failure: textOf(thrown) };
  }
}
