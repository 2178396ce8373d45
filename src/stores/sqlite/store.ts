import type { Clock } from "../../core/ports/clock.ts";
import type {
  Compare,
  Store,
  StoreEntry,
  StoreEvent,
  TxnHow,
  TxnResult,
  Write,
} from "../../core/ports/store.ts";
import { Feed } from "../../core/store/feed.ts";
import { LeaseTimes } from "../../core/store/lease-times.ts";
import {
  checkKey,
  checkLeaseTtl,
  checkPrefix,
  checkTxn,
  leaseEnded,
} from "../../core/store/request.ts";
import type { Durability } from "./database.ts";
import { Line, startWorker } from "./line.ts";

/** How to open a {@link SqliteStore}. */
export interface SqliteStoreOptions {
  /** The database file, made when absent; its directory must exist, on a local file system. */
  readonly path: string;
  /** What leases are timed by. */
  readonly clock: Clock;
  /** `power-cut` unless told. */
  readonly durability?: Durability;
}

/**
 * The embedded store: one SQLite file, for one process, owned by a thread of its own (see `Durability` for when not).
 * Leases are timed here, by the clock; the file says only which there are.
 */
export class SqliteStore implements Store {
  readonly #line: Line;
  readonly #feed: Feed;
  readonly #times: LeaseTimes;

  private constructor(line: Line, feed: Feed, times: LeaseTimes) {
    this.#line = line;
    this.#feed = feed;
    this.#times = times;
  }

  /**
   * Opens the file, for this process alone until {@link SqliteStore.close}.
   *
   * @throws {Failure} `failed_precondition` when it is in use, another program's, or of a newer lagand;
   * `data_loss` when it is damaged; `resource_exhausted` on a full file system.
   */
  static async open(options: SqliteStoreOptions): Promise<SqliteStore> {
    const { path, clock, durability = "power-cut" } = options;
    const { worker, opened } = await startWorker({ path, durability });
    const line: Line = new Line(worker, path, {
      changed: (revision, keys) => feed.advance(revision, keys),
      failed: (failure) => {
        times.stop();
        feed.end(failure);
      },
    });
    const feed = new Feed(opened.revision, (prefix, fromRevision) =>
      line.call({ do: "history", prefix, fromRevision }),
    );
    const times = new LeaseTimes(clock, async (lease) => {
      await line.call({ do: "endLease", lease });
    });
    for (const { lease, ttlMs } of opened.leases) times.start(lease, ttlMs);
    return new SqliteStore(line, feed, times);
  }

  async get(key: string): Promise<StoreEntry | undefined> {
    checkKey(key);
    if (this.#times.hasDue()) await this.#times.endDue();
    return this.#line.get(key);
  }

  async list(prefix: string): Promise<{ revision: number; entries: readonly StoreEntry[] }> {
    checkPrefix(prefix);
    if (this.#times.hasDue()) await this.#times.endDue();
    return this.#line.call({ do: "list", prefix });
  }

  async txn(
    compares: readonly Compare[],
    writes: readonly Write[],
    how: TxnHow = {},
  ): Promise<TxnResult> {
    checkTxn(compares, writes);
    if (this.#times.hasDue()) await this.#times.endDue();
    return this.#line.call({ do: "txn", compares, writes, how });
  }

  watch(
    prefix: string,
    options: { readonly fromRevision?: number },
    signal: AbortSignal,
  ): AsyncIterable<readonly StoreEvent[]> {
    return this.#feed.watch(prefix, options, signal);
  }

  async grantLease(ttlMs: number): Promise<number> {
    checkLeaseTtl(ttlMs);
    const lease = await this.#line.call({ do: "grantLease", ttlMs });
    this.#times.start(lease, ttlMs);
    return lease;
  }

  async keepLease(lease: number): Promise<void> {
    this.#line.checkOpen();
    if (!this.#times.renew(lease)) throw leaseEnded(lease);
  }

  async revokeLease(lease: number): Promise<void> {
    await this.#times.revoke(lease);
  }

  async close(): Promise<void> {
    this.#times.stop();
    this.#feed.end();
    await this.#line.close();
  }
}
