import { expect } from "vitest";
import { STORE_HISTORY_REVISIONS } from "../../src/core/ports/store.ts";
import { type Check, del, forever, put, take } from "./store-check.ts";

/** The part of the store's suite about watches. */
export function storeWatchConformance(check: Check): void {
  check(
    "9 a watch tells later changes of its prefix, one transaction a batch",
    async ({ store }) => {
      await store.txn([], [put("a/1", "before"), put("a/2", "before")]);
      const watch = store.watch("a/", {}, forever);
      await store.txn([], [put("a/1", "x"), put("b", "x"), put("a/3", "x")]);
      await store.txn([], [put("b", "y")]);
      const batches = take(watch, 3);
      await store.txn([{ key: "a/1", modRevision: 1 }], [put("a/1", "no")]);
      await store.txn([], [del("a/2"), del("a/none")]);
      await store.txn([], [put("b", "z")]);
      await store.txn([], [put("a/1", "y")]);
      expect(await batches).toEqual([["a/1@2=x", "a/3@2=x"], ["a/2@4!"], ["a/1@6=y"]]);
    },
  );
  check("9 a batch is in the order of its writes", async ({ store }) => {
    await store.txn([], [put("b", "1"), put("d", "1")]);
    const batches = take(store.watch("", {}, forever), 1);
    await store.txn([], [del("d"), put("c", "2"), del("b"), put("a", "2")]);
    expect(await batches).toEqual([["d@2!", "c@2=2", "b@2!", "a@2=2"]]);
  });
  check("9 a watch gives whole entries", async ({ store }) => {
    await store.txn([], [put("a", "1")]);
    const first = store.watch("a", { fromRevision: 1 }, forever)[Symbol.asyncIterator]();
    const entry = await store.get("a");
    expect((await first.next()).value).toEqual([{ key: "a", revision: 1, entry }]);
  });
  check("9 many watches each tell every change once", async ({ store }) => {
    const count = 200;
    const watches = ["", "k", "k1", "k19"].map((prefix) => ({
      prefix,
      watch: store.watch(prefix, {}, forever),
    }));
    const keys = Array.from({ length: count }, (_, n) => `k${n}`);
    const taken = watches.map(({ prefix, watch }) =>
      take(watch, keys.filter((key) => key.startsWith(prefix)).length),
    );
    await Promise.all(keys.map((key) => store.txn([], [put(key, key)])));
    for (const batches of await Promise.all(taken)) {
      const revisions = batches.flat().map((text) => Number(/@(\d+)/.exec(text)?.[1]));
      expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
    }
  });
  check("10 a watch from a revision replays history, then goes on", async ({ store }) => {
    for (const value of ["1", "2", "3"]) await store.txn([], [put("a", value), put("b", value)]);
    const batches = take(store.watch("a", { fromRevision: 2 }, forever), 3);
    const future = take(store.watch("a", { fromRevision: 5 }, forever), 1);
    await store.txn([], [put("a", "4")]);
    await store.txn([], [put("a", "5")]);
    expect(await batches).toEqual([["a@2=2"], ["a@3=3"], ["a@4=4"]]);
    expect(await future).toEqual([["a@5=5"]]);
  });
  check("10 keeps enough history, and says so when it is not enough", async ({ store }) => {
    const write = (n: number): Promise<unknown> => store.txn([], [put("a", `${n}`)]);
    const slow = store.watch("", { fromRevision: 1 }, forever)[Symbol.asyncIterator]();
    await write(0);
    await slow.next();
    const past = 3 * STORE_HISTORY_REVISIONS;
    for (let n = 0; n < past; n += 1_000) {
      await Promise.all(Array.from({ length: 1_000 }, (_, at) => write(n + at)));
    }
    const { revision } = await store.list("");
    const fromRevision = revision - STORE_HISTORY_REVISIONS + 1;
    const [[first] = []] = await take(store.watch("", { fromRevision }, forever), 1);
    expect(first).toMatch(`a@${fromRevision}=`);
    const old = take(store.watch("", { fromRevision: 1 }, forever), 1);
    await expect(old).rejects.toMatchObject({ code: "out_of_range" });
    const lag = async (): Promise<void> => {
      while (!(await slow.next()).done);
    };
    await expect(lag()).rejects.toMatchObject({ code: "out_of_range" });
  });
  check("11 a watch ends without error when its signal aborts", async ({ store }) => {
    const stop = new AbortController();
    const waiting = store.watch("a", {}, stop.signal)[Symbol.asyncIterator]();
    const reading = store.watch("a", {}, stop.signal)[Symbol.asyncIterator]();
    await store.txn([], [put("a", "1")]);
    await store.txn([], [put("a", "2")]);
    await reading.next();
    await waiting.next();
    await waiting.next();
    const next = waiting.next();
    stop.abort(new Error("stop"));
    expect(await next).toEqual({ done: true, value: undefined });
    expect(await reading.next()).toEqual({ done: true, value: undefined });
    const late = store.watch("", { fromRevision: 1 }, stop.signal)[Symbol.asyncIterator]();
    expect(await late.next()).toEqual({ done: true, value: undefined });
  });
}
