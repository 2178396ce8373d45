import fc from "fast-check";
import { expect, it } from "vitest";
import { Failure } from "../core/failure.ts";
import type { Store, StoreEntry, TxnResult, Write } from "../core/ports/store.ts";
import { RecordMirror } from "./record-mirror.ts";
import type { Recorded } from "./recorded.ts";

/* The mirror against a store whose answers come late and in any order, as a store's may. */

type Entry = Pick<StoreEntry, "key" | "value" | "modRevision">;
const decode = ({ value, modRevision }: Entry): Recorded<string> => ({
  value,
  revision: modRevision,
});

/** A store that does at once what it is told, and answers when it is let. */
class LateStore {
  readonly entries = new Map<string, { value: string; revision: number }>();
  readonly #answers: (() => void)[] = [];
  #revision = 0;

  get waiting(): number {
    return this.#answers.length;
  }

  answer(which: number): void {
    this.#answers.splice(which % this.#answers.length, 1)[0]?.();
  }

  txn(writes: readonly Write[]): Promise<TxnResult> {
    this.#revision++;
    for (const write of writes) {
      if (write.do === "delete") this.entries.delete(write.key);
      else this.entries.set(write.key, { value: write.value, revision: this.#revision });
    }
    return this.#late({ succeeded: true, revision: this.#revision });
  }

  list(): Promise<{ revision: number; entries: Entry[] }> {
    const entries = [...this.entries].map(([key, { value, revision }]) => ({
      ...{ key, value, modRevision: revision },
    }));
    return this.#late({ revision: this.#revision, entries });
  }

  #late<T>(value: T): Promise<T> {
    return new Promise((resolve) => {
      this.#answers.push(() => resolve(value));
    });
  }
}

const step = fc.oneof(
  fc.record({ do: fc.constant("put" as const), key: fc.integer({ min: 0, max: 3 }) }),
  fc.record({ do: fc.constant("delete" as const), key: fc.integer({ min: 0, max: 3 }) }),
  fc.record({ do: fc.constant("list" as const), key: fc.constant(0) }),
  fc.record({ do: fc.constant("answer" as const), key: fc.integer({ min: 0, max: 9 }) }),
);

it("has what the store has when every answer is there, in whatever order they came", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const store = new LateStore();
      const mirror = new RecordMirror(store as unknown as Store, "k/", decode);
      const pending: Promise<unknown>[] = [];
      let count = 0;
      for (const { do: what, key } of steps) {
        if (what === "list") pending.push(mirror.list());
        else if (what === "answer") {
          if (store.waiting > 0) store.answer(key);
          await new Promise<void>((resolve) => setImmediate(resolve));
        } else {
          const name = `k/${key}`;
          const write: Write =
            what === "put"
              ? { do: "put", key: name, value: `${count++}` }
              : { do: "delete", key: name };
          const txn = store.txn([write]).then(({ revision }) => revision);
          pending.push(mirror.follow([write], txn));
        }
      }
      pending.push(mirror.list());
      while (store.waiting > 0) {
        store.answer(0);
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
      await Promise.all(pending);
      const listed = await mirror.list();
      const there = [...store.entries].sort(([a], [b]) => (a < b ? -1 : 1));
      expect(listed).toEqual(there.map(([, entry]) => entry));
    }),
    { numRuns: 500 },
  );
});

it("a list that was given out does not change", async () => {
  const store = new LateStore();
  const mirror = new RecordMirror(store as unknown as Store, "k/", decode);
  const first = mirror.list();
  store.answer(0);
  const before = await first;
  const write: Write = { do: "put", key: "k/a", value: "1" };
  const followed = mirror.follow([write], Promise.resolve(1));
  await followed;
  expect(before).toEqual([]);
  expect(await mirror.list()).toEqual([{ value: "1", revision: 1 }]);
});

it("after a transaction whose outcome is not known everything is read anew", async () => {
  const store = new LateStore();
  const mirror = new RecordMirror(store as unknown as Store, "k/", decode);
  const write: Write = { do: "put", key: "k/a", value: "1" };
  await mirror.follow([write], Promise.reject(new Failure("unknown", "lost")));
  void store.txn([write]);
  store.answer(0);
  const listed = mirror.list();
  store.answer(0);
  expect(await listed).toEqual([{ value: "1", revision: 1 }]);
  void mirror.list();
  expect(store.waiting).toBe(1);
});
