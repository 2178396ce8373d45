import { Failure } from "../failure.ts";
import type { StoreEvent } from "../ports/store.ts";
import { checkFromRevision, checkPrefix } from "./request.ts";

/** A stretch of history: whole transactions, in order, and the revision to go on from. */
export interface Stretch {
  readonly events: readonly StoreEvent[];
  readonly nextRevision: number;
}

/**
 * Reads kept history from `fromRevision` (inclusive), as much as is handy at once. `out_of_range` when it is not
 * kept that far back.
 */
export type ReadHistory = (prefix: string, fromRevision: number) => Promise<Stretch>;

interface Waiting {
  readonly prefix: string;
  fromRevision: number;
  readonly wake: () => void;
}

/**
 * The watches of one store. A watch holds nothing but its place: it reads history from there, and at its end waits
 * for the next change that concerns it. So a slow watch costs no memory, and holds up nobody.
 */
export class Feed {
  readonly #read: ReadHistory;
  readonly #waiting = new Set<Waiting>();
  #revision: number;
  #end: { readonly failure: Failure | undefined } | undefined;

  constructor(revision: number, read: ReadHistory) {
    this.#revision = revision;
    this.#read = read;
  }

  /** Tells that the store has come to `revision`, and which keys have changed since the last call. */
  advance(revision: number, keys: readonly string[]): void {
    this.#revision = revision;
    for (const waiting of this.#waiting) {
      if (waiting.fromRevision > revision) continue;
      if (keys.some((key) => key.startsWith(waiting.prefix))) waiting.wake();
      else waiting.fromRevision = revision + 1;
    }
  }

  /** Ends every watch: with the failure, if there is one. */
  end(failure?: Failure): void {
    this.#end ??= { failure };
    for (const waiting of this.#waiting) waiting.wake();
  }

  /** See `Store.watch`. */
  watch(
    prefix: string,
    options: { readonly fromRevision?: number },
    signal: AbortSignal,
  ): AsyncIterable<readonly StoreEvent[]> {
    return this.#watch(
      prefix,
      options.fromRevision ?? this.#revision + 1,
      signal,
      this.#end !== undefined,
    );
  }

  async *#watch(
    prefix: string,
    fromRevision: number,
    signal: AbortSignal,
    late: boolean,
  ): AsyncGenerator<readonly StoreEvent[], void, undefined> {
    checkPrefix(prefix);
    checkFromRevision(fromRevision);
    if (late) throw this.#end?.failure ?? storeClosed();
    let next = fromRevision;
    for (;;) {
      next = await this.#reach(prefix, next, signal);
      if (signal.aborted) return;
      if (this.#end !== undefined) {
        if (this.#end.failure !== undefined) throw this.#end.failure;
        return;
      }
      const stretch = await this.#read(prefix, next).catch((thrown: unknown) => {
        if (this.#end === undefined || this.#end.failure !== undefined) throw thrown;
        return { events: [], nextRevision: next };
      });
      next = stretch.nextRevision;
      for (const batch of transactionsOf(stretch.events)) {
        if (signal.aborted) return;
        yield batch;
      }
    }
  }

  /** Waits until there may be something to read, and gives the revision to read from. */
  #reach(prefix: string, fromRevision: number, signal: AbortSignal): Promise<number> {
    if (fromRevision <= this.#revision || signal.aborted || this.#end !== undefined) {
      return Promise.resolve(fromRevision);
    }
    return new Promise((resolve) => {
      const wake = (): void => {
        signal.removeEventListener("abort", wake);
        this.#waiting.delete(waiting);
        resolve(waiting.fromRevision);
      };
      const waiting: Waiting = { prefix, fromRevision, wake };
      this.#waiting.add(waiting);
      signal.addEventListener("abort", wake, { once: true });
    });
  }
}

/** What every call of a closed store rejects with. */
export function storeClosed(): Failure {
  return new Failure("unavailable", "Cannot use the store: it is closed");
}

/** What a watch rejects with that starts, or has fallen, behind what is kept. */
export function historyGone(fromRevision: number, oldestRevision: number): Failure {
  return new Failure(
    "out_of_range",
    `Cannot watch from revision ${fromRevision}: history is kept from ${oldestRevision} on; list again and watch from there`,
    { detail: { oldestRevision } },
  );
}

/** Events in revision order → one batch for each revision. */
function transactionsOf(events: readonly StoreEvent[]): StoreEvent[][] {
  const batches: StoreEvent[][] = [];
  for (const event of events) {
    const last = batches.at(-1);
    if (last?.[0]?.revision === event.revision) last.push(event);
    else batches.push([event]);
  }
  return batches;
}
