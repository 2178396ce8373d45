import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { Failure } from "../../src/core/failure.ts";
import type { Clock } from "../../src/core/ports/clock.ts";
import type { Compare, Store, StoreEvent, Write } from "../../src/core/ports/store.ts";
import { emptyStoreDisk, SimStore } from "../../src/sim/store.ts";
import { SqliteStore } from "../../src/stores/sqlite/store.ts";
import { HandClock } from "./hand-clock.ts";

/** What ends every watch of the test: all prefixes below match it. */
const END = "a/end";
const key = fc.oneof(
  {
    weight: 30,
    arbitrary: fc.constantFrom("a", "a/", "a/b", "a/\uffff", "a/\u{10000}", "b", "b\0"),
  },
  { weight: 1, arbitrary: fc.constantFrom("", "\ud800") },
);
const prefix = fc.constantFrom("", "a", "a/");
/** Small, so that most of them hold; -1 stands for the key's own revision. */
const modRevision = fc.constantFrom(-1, -1, 0, 1, 3);
const lease = fc.constantFrom(undefined, undefined, undefined, undefined, 1, 2, 3);
const write = fc.oneof(
  fc.record({ do: fc.constant("put" as const), key, value: fc.string(), lease }),
  fc.record({ do: fc.constant("delete" as const), key }),
);
const compare = fc.record({ key, modRevision });
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      step: fc.constant("txn" as const),
      compares: fc.array(compare, { maxLength: 2 }),
      writes: fc.array(write, { maxLength: 4 }),
      durable: fc.constantFrom("now" as const, "soon" as const),
    }),
  },
  { weight: 2, arbitrary: fc.record({ step: fc.constant("get" as const), key }) },
  { weight: 2, arbitrary: fc.record({ step: fc.constant("list" as const), prefix }) },
  {
    weight: 2,
    arbitrary: fc.record({
      step: fc.constant("watch" as const),
      prefix,
      fromRevision: fc.constantFrom(undefined, 1, 2, 9),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      step: fc.constant("grant" as const),
      ttlMs: fc.constantFrom(1, 1_000, 2_000),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      step: fc.constant("pass" as const),
      ms: fc.constantFrom(1, 500, 1_000),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      step: fc.constantFrom("keep" as const, "revoke" as const),
      lease: fc.constantFrom(1, 2, 3),
    }),
  },
  { weight: 1, arbitrary: fc.record({ step: fc.constant("reopen" as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** One store with its own time, and what its watches have told. */
class Subject {
  readonly #clock = new HandClock();
  readonly #open: (clock: Clock) => Promise<Store>;
  #store: Store | undefined;
  #watches: Promise<unknown>[] = [];

  constructor(open: (clock: Clock) => Promise<Store>) {
    this.#open = open;
  }

  async perform(it: Step): Promise<unknown> {
    this.#store ??= await this.#open(this.#clock);
    const store = this.#store;
    switch (it.step) {
      case "txn":
        return store.txn(
          await this.#compares(store, it.compares),
          it.writes.map(withoutUndefined),
          it,
        );
      case "get":
        return store.get(it.key);
      case "list":
        return store.list(it.prefix);
      case "watch":
        // What is due ends at the next call, and a watch is none: without this it may begin before a lease's end or after.
        await store.get(END);
        this.#watches.push(untilEnd(store, it.prefix, it.fromRevision));
        return undefined;
      case "grant":
        return store.grantLease(it.ttlMs);
      case "keep":
        return store.keepLease(it.lease);
      case "revoke":
        return store.revokeLease(it.lease);
      case "pass":
        return this.#clock.advance(it.ms);
      case "reopen":
        return this.end();
    }
  }

  /** Closes the store. Gives what every watch has told, and what a last one tells of the kept history. */
  async end(): Promise<unknown> {
    const store = this.#store;
    if (store === undefined) return undefined;
    this.#watches.push(untilEnd(store, "", 1));
    const { revision } = await store.txn([], [{ do: "put", key: END, value: "" }]);
    // A watch from a later revision has its end then.
    for (let more = revision; more < 9; more++) {
      await store.txn([], [{ do: "put", key: END, value: "" }]);
    }
    const told = await Promise.all(this.#watches);
    await store.close();
    this.#store = undefined;
    this.#watches = [];
    return told;
  }

  async #compares(store: Store, compares: readonly Compare[]): Promise<Compare[]> {
    return Promise.all(
      compares.map(async ({ key, modRevision }) => {
        if (modRevision >= 0) return { key, modRevision };
        const found = key === "" || key === "\ud800" ? undefined : await store.get(key);
        return { key, modRevision: found?.modRevision ?? 0 };
      }),
    );
  }
}

function withoutUndefined(
  write:
    | { do: "put"; key: string; value: string; lease: number | undefined }
    | { do: "delete"; key: string },
): Write {
  if (write.do === "delete" || write.lease !== undefined) return write as Write;
  return { do: "put", key: write.key, value: write.value };
}

async function untilEnd(
  store: Store,
  prefix: string,
  fromRevision: number | undefined,
): Promise<unknown> {
  const batches: (readonly StoreEvent[])[] = [];
  const options = fromRevision === undefined ? {} : { fromRevision };
  for await (const batch of store.watch(prefix, options, new AbortController().signal)) {
    batches.push(batch);
    if (batch.some(({ key }) => key === END)) break;
  }
  return batches;
}

/** What a step gave, as data: also when it failed. */
async function outcome(attempt: Promise<unknown>): Promise<unknown> {
  return attempt.catch((thrown: unknown) => {
    if (thrown instanceof Failure) return { code: thrown.code, message: thrown.message };
    throw thrown;
  });
}

const DURABILITIES = ["power-cut", "process"] as const;

it.each(DURABILITIES)(
  "SQLite (%s) gives what memory gives, whatever is done in whatever order",
  async (durability) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 60 }), async (steps) => {
        const directory = await mkdtemp(join(tmpdir(), "lagan-model-"));
        const path = join(directory, "lagan.db");
        const disk = emptyStoreDisk();
        const memory = new Subject(async (clock) => new SimStore(clock, disk));
        const sqlite = new Subject((clock) => SqliteStore.open({ path, clock, durability }));
        try {
          for (const it of steps) {
            const [expected, got] = await Promise.all(
              [memory, sqlite].map((subject) => outcome(subject.perform(it))),
            );
            expect(got).toEqual(expected);
          }
          expect(await sqlite.end()).toEqual(await memory.end());
        } finally {
          await memory.end();
          await sqlite.end();
          await rm(directory, { recursive: true });
        }
      }),
      { numRuns: 20 },
    );
  },
);
