import { expect, it } from "vitest";
import { STORE_SOON_MS } from "../core/ports/store.ts";
import { SimClock } from "./clock.ts";
import { cutStorePower, emptyStoreDisk, SimStore } from "./store.ts";

const SOON = { durable: "soon" } as const;

function put(key: string, value: string) {
  return [{ do: "put", key, value }] as const;
}

async function values(store: SimStore): Promise<string> {
  const { revision, entries } = await store.list("");
  return `${revision}: ${entries.map(({ key, value }) => `${key}=${value}`).join(" ")}`;
}

/** What a power cut leaves after `work`, when so many of the transactions that it may take stay. */
async function left(
  work: (store: SimStore, clock: SimClock) => Promise<unknown>,
  kept = 0,
): Promise<string> {
  const clock = new SimClock();
  const disk = emptyStoreDisk();
  await work(new SimStore(clock, disk), clock);
  cutStorePower(disk, clock.monotonic(), () => kept);
  return values(new SimStore(clock, disk));
}

it("16 a power cut leaves the transactions up to one of them, in their order", async () => {
  const work = async (store: SimStore) => {
    await store.txn([], put("a", "1"));
    await store.txn([], put("a", "2"), SOON);
    await store.txn([], [...put("b", "1"), { do: "delete", key: "a" }], SOON);
    await store.txn([], put("b", "2"), SOON);
  };
  expect(await left(work, 0)).toBe("1: a=1");
  expect(await left(work, 1)).toBe("2: a=2");
  expect(await left(work, 2)).toBe("3: b=1");
  expect(await left(work, 3)).toBe("4: b=2");
});

it("16 a transaction that is durable makes all earlier ones durable", async () => {
  const work = async (store: SimStore) => {
    await store.txn([], put("a", "1"), SOON);
    await store.txn([], put("b", "1"));
    await store.txn([], put("c", "1"), SOON);
  };
  expect(await left(work)).toBe("2: a=1 b=1");
});

it("16 what is durable soon is so by itself", async () => {
  const work = async (store: SimStore, clock: SimClock) => {
    await store.txn([], put("a", "1"), SOON);
    await clock.advance(STORE_SOON_MS - 1);
    await store.txn([], put("b", "1"), SOON);
    await clock.advance(1);
  };
  expect(await left(work)).toBe("1: a=1");
});

it("2 a transaction that need only be durable soon survives kill -9", async () => {
  const clock = new SimClock();
  const disk = emptyStoreDisk();
  await new SimStore(clock, disk).txn([], put("a", "1"), SOON);
  expect(await values(new SimStore(clock, disk))).toBe("1: a=1");
});
