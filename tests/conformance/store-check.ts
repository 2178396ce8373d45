import type { Store, StoreEvent, Write } from "../../src/core/ports/store.ts";
import type { HandClock } from "./hand-clock.ts";

/** What a test of the suite is given. */
export interface Given {
  readonly store: Store;
  readonly clock: HandClock;
  /** Closes the store and opens its storage again. */
  readonly reopen: () => Promise<Store>;
}

/** A write of one key. */
export function put(key: string, value: string, lease?: number): Write {
  return lease === undefined ? { do: "put", key, value } : { do: "put", key, value, lease };
}

/** A deletion of one key. */
export function del(key: string): Write {
  return { do: "delete", key };
}

/** Event → `key@revision=value`, or `key@revision!` for a deletion. */
export function told({ key, revision, entry }: StoreEvent): string {
  return `${key}@${revision}${entry === undefined ? "!" : `=${entry.value}`}`;
}

/** The next `count` batches of a watch. Fails the test when it ends before. */
export async function take(
  watch: AsyncIterable<readonly StoreEvent[]>,
  count: number,
): Promise<string[][]> {
  const batches: string[][] = [];
  for await (const batch of watch) {
    batches.push(batch.map(told));
    if (batches.length === count) return batches;
  }
  throw new Error(`The watch ended after ${JSON.stringify(batches)}`);
}

/** One test: its title starts with the number of the sentence that it holds the store to. */
export type Check = (title: string, body: (given: Given) => Promise<void>) => void;

/** Never aborts. */
export const forever: AbortSignal = new AbortController().signal;

/** What is under a prefix, as `key=value`. */
export async function values(store: Store, prefix = ""): Promise<string[]> {
  return (await store.list(prefix)).entries.map(({ key, value }) => `${key}=${value}`);
}
