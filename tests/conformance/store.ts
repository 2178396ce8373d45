import { afterEach, describe, expect, it } from "vitest";
import type { Clock } from "../../src/core/ports/clock.ts";
import {
  STORE_KEY_LIMIT_BYTES,
  STORE_TXN_LIMIT,
  STORE_VALUE_LIMIT_BYTES,
  type Store,
} from "../../src/core/ports/store.ts";
import { HandClock } from "./hand-clock.ts";
import { type Check, del, forever, put, take, values } from "./store-check.ts";
import { storeLeaseConformance } from "./store-lease.ts";
import { storeWatchConformance } from "./store-watch.ts";

/** How the suite makes the stores that it holds to the contract. The suite closes them. */
export interface StoreHarness {
  /** A store over fresh, empty storage. */
  readonly fresh: (clock: Clock) => Promise<Store>;
  /** The storage of this store, which has been closed, opened again. */
  readonly reopen: (closed: Store, clock: Clock) => Promise<Store>;
  /** Removes what `fresh` has made; the stores are closed. */
  readonly clean?: () => Promise<void>;
}

/** Holds a store to the numbered sentences of `Store`. */
export function storeConformance(name: string, harness: StoreHarness): void {
  const opened = new Set<Store>();
  const check: Check = (title, body) => {
    it(title, async () => {
      const clock = new HandClock();
      const store = await harness.fresh(clock);
      opened.add(store);
      const reopen = async (): Promise<Store> => {
        await store.close();
        const again = await harness.reopen(store, clock);
        opened.add(again);
        return again;
      };
      await body({ store, clock, reopen });
    });
  };
  describe(`Store: ${name}`, () => {
    afterEach(async () => {
      for (const store of opened) await store.close();
      opened.clear();
      await harness.clean?.();
    });

    check("1 a transaction whose compare fails changes nothing", async ({ store }) => {
      await store.txn([], [put("a", "1")]);
      for (const modRevision of [0, 2]) {
        const result = await store.txn([{ key: "a", modRevision }], [put("a", "2"), put("b", "2")]);
        expect(result).toEqual({ succeeded: false, revision: 1 });
      }
      const present = await store.txn([{ key: "c", modRevision: 1 }], [put("c", "2")]);
      expect(present).toEqual({ succeeded: false, revision: 1 });
      expect(await values(store)).toEqual(["a=1"]);
    });
    check(
      "1 a transaction whose compares hold makes all its writes at one revision",
      async ({ store }) => {
        await store.txn([], [put("a", "1"), put("b", "1")]);
        const result = await store.txn(
          [
            { key: "a", modRevision: 1 },
            { key: "new", modRevision: 0 },
          ],
          [put("a", "2"), del("b"), put("new", "2")],
        );
        expect(result).toEqual({ succeeded: true, revision: 2 });
        expect(await store.list("")).toEqual({
          revision: 2,
          entries: [
            { key: "a", value: "2", createRevision: 1, modRevision: 2, version: 2, lease: 0 },
            { key: "new", value: "2", createRevision: 2, modRevision: 2, version: 1, lease: 0 },
          ],
        });
      },
    );
    check("1 of writers that race on one revision exactly one wins", async ({ store }) => {
      let wins = 0;
      const racer = async (): Promise<void> => {
        for (let tries = 0; tries < 100; tries++) {
          const found = await store.get("n");
          const compare = { key: "n", modRevision: found?.modRevision ?? 0 };
          const { succeeded } = await store.txn(
            [compare],
            [put("n", `${Number(found?.value ?? 0) + 1}`)],
          );
          if (succeeded) wins++;
        }
      };
      await Promise.all(Array.from({ length: 8 }, racer));
      expect(wins).toBeGreaterThan(0);
      expect(await store.get("n")).toMatchObject({
        value: `${wins}`,
        version: wins,
        modRevision: wins,
      });
    });
    check(
      "2 what was written is there after the store is opened again",
      async ({ store, reopen }) => {
        await store.txn([], [put("a", "1"), put("b", "1")]);
        await store.txn([], [put("a", "2"), del("b")]);
        const before = await store.list("");
        const again = await reopen();
        expect(await again.list("")).toEqual(before);
        expect(await again.txn([], [put("b", "3")])).toEqual({ succeeded: true, revision: 3 });
        expect(await take(again.watch("", { fromRevision: 1 }, forever), 3)).toEqual([
          ["a@1=1", "b@1=1"],
          ["a@2=2", "b@2!"],
          ["b@3=3"],
        ]);
      },
    );

    const half = "\ud800";
    const wide = "é".repeat(STORE_KEY_LIMIT_BYTES / 2);
    const large = "é".repeat(STORE_VALUE_LIMIT_BYTES / 2);
    const many = Array.from({ length: STORE_TXN_LIMIT + 1 }, (_, n) => `k${n}`);
    const refused: Readonly<Record<string, (store: Store) => Promise<unknown>>> = {
      "a key written twice": (store) => store.txn([], [put("a", "1"), del("a")]),
      "an empty key": (store) => store.txn([], [put("", "1")]),
      "a key too long": (store) => store.txn([], [put(`${wide}x`, "1")]),
      "a deletion's key too long": (store) => store.txn([], [del(`${wide}x`)]),
      "a compare's key too long": (store) => store.txn([{ key: `${wide}x`, modRevision: 0 }], []),
      "a compare with no revision": (store) => store.txn([{ key: "a", modRevision: -1 }], []),
      "a value too large": (store) => store.txn([], [put("a", `${large}x`)]),
      "too many writes": (store) =>
        store.txn(
          [],
          many.map((key) => put(key, "1")),
        ),
      "too many compares": (store) =>
        store.txn(
          many.map((key) => ({ key, modRevision: 0 })),
          [],
        ),
      "too many bytes": (store) => store.txn([], [put("a", large), put("b", large)]),
      "half a surrogate pair in a key": (store) => store.txn([], [put(half, "1")]),
      "half a surrogate pair in a value": (store) => store.txn([], [put("a", half)]),
      "reading an empty key": (store) => store.get(""),
      "reading a key too long": (store) => store.get(`${wide}x`),
      "listing half a surrogate pair": (store) => store.list(half),
      "watching half a surrogate pair": (store) => take(store.watch(half, {}, forever), 1),
      "watching from revision 0": (store) => take(store.watch("", { fromRevision: 0 }, forever), 1),
      "a lease too short": (store) => store.grantLease(999),
      "a lease too long": (store) => store.grantLease(3_600_001),
      "a put with lease 0": (store) => store.txn([], [put("a", "1", 0)]),
    };
    for (const [what, attempt] of Object.entries(refused)) {
      check(`4 refuses ${what} with invalid_argument, and changes nothing`, async ({ store }) => {
        await expect(attempt(store)).rejects.toMatchObject({ code: "invalid_argument" });
        expect(await store.list("")).toEqual({ revision: 0, entries: [] });
      });
    }
    check("4 takes the longest key, the largest value and the most writes", async ({ store }) => {
      await store.txn([], [put(wide, large)]);
      expect((await store.get(wide))?.value).toBe(large);
      const keys = many.slice(1);
      await store.txn(
        keys.map((key) => ({ key, modRevision: 0 })),
        keys.map((key) => put(key, "1")),
      );
      expect((await store.list("k")).entries).toHaveLength(STORE_TXN_LIMIT);
    });
    check("5 a transaction that changes nothing keeps the revision", async ({ store }) => {
      await store.txn([], [put("a", "1")]);
      expect(await store.txn([], [])).toEqual({ succeeded: true, revision: 1 });
      expect(await store.txn([], [del("b")])).toEqual({ succeeded: true, revision: 1 });
      expect(await store.txn([], [del("a"), del("b")])).toEqual({ succeeded: true, revision: 2 });
      expect(await store.txn([{ key: "a", modRevision: 0 }], [])).toEqual({
        succeeded: true,
        revision: 2,
      });
    });
    check("5 writing the same value again is a change", async ({ store }) => {
      await store.txn([], [put("a", "1")]);
      expect(await store.txn([], [put("a", "1")])).toEqual({ succeeded: true, revision: 2 });
    });
    check("6 a read sees every transaction that has resolved", async ({ store }) => {
      await Promise.all(
        Array.from({ length: 20 }, async (_, n) => {
          const { revision } = await store.txn([], [put(`k${n}`, "1")]);
          const [entry, list] = await Promise.all([store.get(`k${n}`), store.list("k")]);
          expect(entry?.modRevision).toBe(revision);
          expect(list.revision).toBeGreaterThanOrEqual(revision);
          expect(list.entries).toContainEqual(entry);
        }),
      );
    });
    check("7 an absent key is undefined, and so is a deleted one", async ({ store }) => {
      expect(await store.get("a")).toBeUndefined();
      await store.txn([], [put("a", "1")]);
      await store.txn([], [del("a")]);
      expect(await store.get("a")).toBeUndefined();
      await store.txn([], [put("a", "2")]);
      expect(await store.get("a")).toMatchObject({ createRevision: 3, modRevision: 3, version: 1 });
    });
    check("7 any text comes back as it was", async ({ store }) => {
      for (const text of ["a\0b", "\0", "\u{10ffff}", "\uffff", "a'\"%_\\\n", "é", "e\u0301"]) {
        await store.txn([], [put(text, text)]);
        expect(await store.get(text)).toMatchObject({ key: text, value: text });
      }
      await store.txn([], [put("empty", "")]);
      expect((await store.get("empty"))?.value).toBe("");
      expect((await store.list("")).entries).toHaveLength(8);
    });
    check("8 lists by prefix in order of UTF-8 bytes", async ({ store }) => {
      const keys = ["v/a", "v/", "v", "v/\u{10000}", "v/\uffff", "v/é", "v0", "V/a", "v/%", "v/_"];
      for (const key of keys) await store.txn([], [put(key, "1")]);
      const listed = async (prefix: string): Promise<string[]> =>
        (await store.list(prefix)).entries.map(({ key }) => key);
      expect(await listed("v/")).toEqual([
        "v/",
        "v/%",
        "v/_",
        "v/a",
        "v/é",
        "v/\uffff",
        "v/\u{10000}",
      ]);
      expect(await listed("")).toHaveLength(keys.length);
      expect(await listed("v/\uffff")).toEqual(["v/\uffff"]);
      expect(await listed("w")).toEqual([]);
    });

    storeWatchConformance(check);
    storeLeaseConformance(check);

    check("15 after close every call rejects with unavailable", async ({ store, clock }) => {
      const lease = await store.grantLease(1_000);
      const watch = store.watch("", {}, forever)[Symbol.asyncIterator]();
      const next = watch.next();
      await Promise.all([store.close(), store.close()]);
      await store.close();
      expect(await next).toEqual({ done: true, value: undefined });
      const calls = [
        store.get("a"),
        store.list(""),
        store.txn([], []),
        store.grantLease(1_000),
        store.keepLease(lease),
        store.revokeLease(lease),
        take(store.watch("", { fromRevision: 1 }, forever), 1),
      ];
      for (const call of await Promise.allSettled(calls)) {
        expect(call).toMatchObject({ status: "rejected", reason: { code: "unavailable" } });
      }
      expect(clock.sleeping).toBe(0);
    });
    check(
      "16 what is durable soon is there at once, and after the store is opened again",
      async ({ store, reopen }) => {
        const watch = take(store.watch("", { fromRevision: 1 }, forever), 3);
        const soon = { durable: "soon" } as const;
        await store.txn([], [put("a", "1"), put("b", "1")], soon);
        expect(await values(store)).toEqual(["a=1", "b=1"]);
        const late = { key: "a", modRevision: 0 };
        expect(await store.txn([late], [put("c", "1")], soon)).toEqual({
          succeeded: false,
          revision: 1,
        });
        await store.txn([{ key: "a", modRevision: 1 }], [put("a", "2")]);
        await store.txn([], [del("b")], soon);
        expect((await store.get("a"))?.value).toBe("2");
        expect(await watch).toEqual([["a@1=1", "b@1=1"], ["a@2=2"], ["b@3!"]]);
        const again = await reopen();
        expect(await again.list("")).toMatchObject({ revision: 3, entries: [{ key: "a" }] });
        await expect(again.txn([], [put("", "1")], soon)).rejects.toMatchObject({
          code: "invalid_argument",
        });
      },
    );
    check(
      "16 of many that are called together, soon or now, each is made once",
      async ({ store }) => {
        const made = await Promise.all(
          Array.from({ length: 40 }, (_, n) =>
            store.txn([], [put(`k${n}`, "1")], { durable: n % 2 === 0 ? "soon" : "now" }),
          ),
        );
        expect(new Set(made.map(({ revision }) => revision)).size).toBe(40);
        expect(await store.list("k")).toMatchObject({ revision: 40 });
        expect((await store.list("k")).entries).toHaveLength(40);
      },
    );
    check("15 what was called before close is carried out", async ({ store, reopen }) => {
      const calls = Array.from({ length: 20 }, (_, n) => store.txn([], [put(`k${n}`, "1")]));
      const again = await reopen();
      await Promise.all(calls);
      expect((await again.list("")).entries).toHaveLength(20);
    });
  });
}
