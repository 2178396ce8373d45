import { expect } from "vitest";
import { type Check, del, forever, put, take, told, values } from "./store-check.ts";

/** The part of the store's suite about leases. */
export function storeLeaseConformance(check: Check): void {
  check("12 a lease ends with its keys, as one change", async ({ store, clock }) => {
    const lease = await store.grantLease(1_000);
    await store.txn([], [put("b", "1", lease), put("a", "1", lease), put("c", "1")]);
    expect(await store.get("a")).toMatchObject({ lease });
    const batches = take(store.watch("", {}, forever), 1);
    clock.advance(999);
    expect(await values(store)).toEqual(["a=1", "b=1", "c=1"]);
    clock.advance(1);
    expect(await store.list("")).toMatchObject({ revision: 2, entries: [{ key: "c" }] });
    expect(await batches).toEqual([["a@2!", "b@2!"]]);
  });
  check("12 a watch sees a lease end while nobody calls", async ({ store, clock }) => {
    await store.grantLease(3_600_000);
    const long = await store.grantLease(5_000);
    const short = await store.grantLease(1_000);
    await store.txn([], [put("long", "1", long), put("short", "1", short)]);
    const watch = store.watch("", {}, forever)[Symbol.asyncIterator]();
    clock.advance(1_000);
    expect((await watch.next()).value?.map(told)).toEqual(["short@2!"]);
    clock.advance(4_000);
    expect((await watch.next()).value?.map(told)).toEqual(["long@3!"]);
  });
  check("12 a later put without the lease takes the key out of it", async ({ store, clock }) => {
    const lease = await store.grantLease(1_000);
    const other = await store.grantLease(2_000);
    await store.txn([], [put("a", "1", lease), put("b", "1", lease), put("c", "1", lease)]);
    await store.txn([], [put("a", "2"), put("b", "2", other), del("c")]);
    await store.txn([], [put("c", "3")]);
    clock.advance(1_000);
    expect(await values(store)).toEqual(["a=2", "b=2", "c=3"]);
    clock.advance(1_000);
    expect(await values(store)).toEqual(["a=2", "c=3"]);
  });
  check("12 a lease without keys ends without a change", async ({ store, clock }) => {
    await store.grantLease(1_000);
    clock.advance(1_000);
    expect(await store.list("")).toEqual({ revision: 0, entries: [] });
  });
  check("13 renewing gives the full time again", async ({ store, clock }) => {
    const lease = await store.grantLease(1_000);
    await store.txn([], [put("a", "1", lease)]);
    for (let times = 0; times < 5; times++) {
      clock.advance(999);
      await store.keepLease(lease);
    }
    clock.advance(999);
    expect(await values(store)).toEqual(["a=1"]);
    clock.advance(1);
    expect(await values(store)).toEqual([]);
  });
  check("13 a lease that has ended cannot be renewed or used", async ({ store, clock }) => {
    const lease = await store.grantLease(1_000);
    await store.txn([], [put("a", "1")]);
    clock.advance(1_000);
    await expect(store.keepLease(lease)).rejects.toMatchObject({ code: "not_found" });
    await expect(store.keepLease(lease + 1)).rejects.toMatchObject({ code: "not_found" });
    const use = store.txn([], [put("b", "1"), put("c", "1", lease)]);
    await expect(use).rejects.toMatchObject({ code: "not_found" });
    const unheld = store.txn([{ key: "a", modRevision: 9 }], [put("c", "1", lease)]);
    expect(await unheld).toEqual({ succeeded: false, revision: 1 });
    expect(await values(store)).toEqual(["a=1"]);
    expect(await store.grantLease(1_000)).not.toBe(lease);
  });
  check("13 after a restart a lease gets its full time again", async ({ store, clock, reopen }) => {
    const lease = await store.grantLease(2_000);
    await store.txn([], [put("a", "1", lease)]);
    clock.advance(1_500);
    const again = await reopen();
    clock.advance(1_500);
    expect(await values(again)).toEqual(["a=1"]);
    await again.keepLease(lease);
    expect(await again.grantLease(1_000)).not.toBe(lease);
    clock.advance(2_000);
    expect(await values(again)).toEqual([]);
  });
  check(
    "14 revoking ends the lease at once, with its keys, and again is success",
    async ({ store }) => {
      const lease = await store.grantLease(60_000);
      await store.txn([], [put("a", "1", lease), put("b", "1", lease)]);
      await store.revokeLease(lease);
      expect(await store.list("")).toEqual({ revision: 2, entries: [] });
      await expect(store.keepLease(lease)).rejects.toMatchObject({ code: "not_found" });
      await store.revokeLease(lease);
      await store.revokeLease(lease + 1);
      expect((await store.list("")).revision).toBe(2);
    },
  );
  check("14 a revoked lease does not come back with a restart", async ({ store, reopen }) => {
    const lease = await store.grantLease(60_000);
    await store.revokeLease(lease);
    const again = await reopen();
    await expect(again.keepLease(lease)).rejects.toMatchObject({ code: "not_found" });
  });
}
