/**
 * One key of the store. Revisions count the store's transactions that changed something, from 1, as in
 * etcd (https://etcd.io/docs/v3.5/learning/api/): `modRevision` is the one that wrote this value,
 * `createRevision` the one that made the key, `version` counts writes since then, from 1.
 */
export interface StoreEntry {
  readonly key: string;
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  /** Lease that ends with the key; 0: none. */
  readonly lease: number;
}

/** A condition on one key. `modRevision` 0: the key is absent. */
export interface Compare {
  readonly key: string;
  readonly modRevision: number;
}

export type Write =
  | {
      readonly do: "put";
      readonly key: string;
      readonly value: string;
      /** Lease to attach; leaving it out detaches any. */
      readonly lease?: number;
    }
  | { readonly do: "delete"; readonly key: string };

export interface TxnResult {
  /** True when every compare held and every write was made; false when none was made. */
  readonly succeeded: boolean;
  /** The store's revision after the transaction. */
  readonly revision: number;
}

/** A change as a watch tells it. `entry` is undefined for a deletion; its `version` is 1 for a new key. */
export interface StoreEvent {
  readonly key: string;
  readonly revision: number;
  readonly entry: StoreEntry | undefined;
}

/** Longest key, in bytes of UTF-8; keys are not empty. */
export const STORE_KEY_LIMIT_BYTES = 1024;
/** Largest value, in bytes of UTF-8. etcd's own request limit is 1.5 MiB. */
export const STORE_VALUE_LIMIT_BYTES: number = 1024 ** 2;
/** Most compares, and most writes, of one transaction (etcd's default). */
export const STORE_TXN_LIMIT = 128;
/** Most bytes of UTF-8 of one transaction's keys and values together: with framing, within etcd's request limit. */
export const STORE_TXN_LIMIT_BYTES: number = 1.25 * 1024 ** 2;
/** How long a transaction that is durable `soon` may take to become so, in milliseconds, while the disk does its work. */
export const STORE_SOON_MS = 25;
/** How many past revisions a watch can start from at least. */
export const STORE_HISTORY_REVISIONS = 10_000;

/** How a transaction is made. */
export interface TxnHow {
  /** `now` unless told. `soon` is for what its caller makes again after a power cut: see `Store`, 16. */
  readonly durable?: "now" | "soon" | undefined;
}

/**
 * Where records are kept: etcd's contract, so that one node's file and a cluster's etcd are the same to
 * everything above. Held by `tests/conformance/store.ts`.
 *
 * 1. A transaction happens wholly or not at all, one after the other; `succeeded: false` changes nothing.
 * 2. When `txn` has resolved, its writes survive `kill -9`, and a power cut where the store is durable (but see 16).
 * 3. When `txn` rejects with `unknown` or `unavailable` the outcome is not known: read back, never guess.
 * 4. A transaction writes a key at most once: twice is `invalid_argument`, as are limits exceeded and text that
 *    UTF-8 cannot hold (half of a surrogate pair); nothing changes.
 * 5. Deleting an absent key is not a change; a transaction without changes keeps the revision.
 * 6. Reads see every transaction that has resolved before them.
 * 16. With `durable: "soon"` `txn` may resolve before its writes survive a power cut; all the rest holds. They do with the
 *     next transaction that is durable `now`, and by themselves after about `STORE_SOON_MS`. What a power cut leaves is the
 *     transactions up to one of them, whole and in the order of revisions, with every one that was durable. When that fails,
 *     the store has failed for good, as 15.
 */
export interface Store {
  /** 7. Undefined when absent. */
  get(key: string): Promise<StoreEntry | undefined>;
  /** 8. The entries whose key starts with `prefix`, in order of the key's UTF-8 bytes, all of one revision. */
  list(
    prefix: string,
  ): Promise<{ readonly revision: number; readonly entries: readonly StoreEntry[] }>;
  txn(compares: readonly Compare[], writes: readonly Write[], how?: TxnHow): Promise<TxnResult>;
  /**
   * 9. Every later change of a key with this prefix, in revision order, each once, in batches of one transaction,
   *    in the order of its writes.
   * 10. `fromRevision` (inclusive) replays history first; older than what is kept: `out_of_range` — list again.
   *     Left out: from the next change on, counted from this call. A watch that is not read keeps nothing waiting:
   *     it goes on from where it was, or rejects with `out_of_range` when that is no longer kept.
   * 11. Ends without error when the signal aborts.
   */
  watch(
    prefix: string,
    options: { readonly fromRevision?: number },
    signal: AbortSignal,
  ): AsyncIterable<readonly StoreEvent[]>;
  /** 12. A new lease that ends `ttlMs` (1,000 to 3,600,000) after its last renewal, and takes its keys with it (as one change). */
  grantLease(ttlMs: number): Promise<number>;
  /**
   * 13. Renews; a lease that has ended: `not_found`, and so says a transaction whose compares hold and whose put
   *     names it; nothing changes. After a restart of the store, a lease gets its full time again.
   */
  keepLease(lease: number): Promise<void>;
  /** 14. Ends the lease at once, with its keys; ended already is success. */
  revokeLease(lease: number): Promise<void>;
  /**
   * 15. After close, every call rejects with `unavailable`; watches end. Again is success. A store that has failed
   *     for good (a crash, an I/O error) is as if closed, only that its watches reject with `unavailable`.
   */
  close(): Promise<void>;
}
