import type { Clock } from "../core/ports/clock.ts";
import {
  type Compare,
  STORE_HISTORY_REVISIONS,
  STORE_SOON_MS,
  type Store,
  type StoreEntry,
  type StoreEvent,
  type TxnHow,
  type TxnResult,
  type Write,
} from "../core/ports/store.ts";
import { Feed, historyGone, type Stretch, storeClosed } from "../core/store/feed.ts";
import { LeaseTimes } from "../core/store/lease-times.ts";
import {
  checkKey,
  checkLeaseTtl,
  checkPrefix,
  checkTxn,
  leaseEnded,
} from "../core/store/request.ts";
import { compareUtf8 } from "../core/utf8.ts";

/** What outlives a {@link SimStore}: give it to the next one to play a restart. */
export interface SimStoreDisk {
  readonly entries: Map<string, StoreEntry>;
  /** The changes of each revision, the oldest kept first; the last is the current revision's. */
  readonly history: StoreEvent[][];
  revision: number;
  /** Lease → its time to live in milliseconds. */
  readonly leases: Map<number, number>;
  lastLease: number;
  /** The newest transactions, as far as a power cut may take them, the oldest first. */
  readonly undurable: Undurable[];
}

/** A transaction that a power cut may take. */
interface Undurable {
  /** On the monotonic clock. */
  readonly madeAt: number;
  /** What its keys had before. */
  readonly before: ReadonlyMap<string, StoreEntry | undefined>;
}

/** An empty disk, at revision 0. */
export function emptyStoreDisk(): SimStoreDisk {
  const entries = new Map<string, StoreEntry>();
  return { entries, history: [], revision: 0, leases: new Map(), lastLease: 0, undurable: [] };
}

/**
 * The power fails: of the newest transactions that are not durable yet so many stay as `kept` says, and the later ones
 * never were. For a disk that no store uses any more.
 *
 * @param kept Gets their number, and gives one up to it: 0 unless told.
 */
export function cutStorePower(
  disk: SimStoreDisk,
  now: number,
  kept: (count: number) => number = () => 0,
): void {
  const { undurable, entries, history } = disk;
  const first = undurable.findIndex(({ madeAt }) => madeAt > now - STORE_SOON_MS);
  undurable.splice(0, first === -1 ? undurable.length : first);
  for (const { before } of undurable.splice(kept(undurable.length)).reverse()) {
    for (const [key, entry] of before) {
      if (entry === undefined) entries.delete(key);
      else entries.set(key, entry);
    }
    history.pop();
    disk.revision--;
  }
  undurable.length = 0;
}

/** The reference store: the contract in its shortest form, in memory, with no time but the clock's. */
export class SimStore implements Store {
  readonly #disk: SimStoreDisk;
  readonly #feed: Feed;
  readonly #times: LeaseTimes;
  readonly #clock: Clock;
  #closed = false;

  constructor(clock: Clock, disk: SimStoreDisk = emptyStoreDisk()) {
    this.#clock = clock;
    this.#disk = disk;
    disk.undurable.length = 0;
    this.#feed = new Feed(disk.revision, async (prefix, from) => this.#readHistory(prefix, from));
    this.#times = new LeaseTimes(clock, async (lease) => this.#endLease(lease));
    for (const [lease, ttlMs] of disk.leases) this.#times.start(lease, ttlMs);
  }

  async get(key: string): Promise<StoreEntry | undefined> {
    await this.#enter(() => checkKey(key));
    return this.#disk.entries.get(key);
  }

  async list(prefix: string): Promise<{ revision: number; entries: readonly StoreEntry[] }> {
    await this.#enter(() => checkPrefix(prefix));
    const entries = [...this.#disk.entries.values()].filter(({ key }) => key.startsWith(prefix));
    entries.sort((a, b) => compareUtf8(a.key, b.key));
    return { revision: this.#disk.revision, entries };
  }

  async txn(
    compares: readonly Compare[],
    writes: readonly Write[],
    { durable = "now" }: TxnHow = {},
  ): Promise<TxnResult> {
    await this.#enter(() => checkTxn(compares, writes));
    const { entries, leases } = this.#disk;
    const holds = compares.every(
      ({ key, modRevision }) => (entries.get(key)?.modRevision ?? 0) === modRevision,
    );
    if (!holds) return { succeeded: false, revision: this.#disk.revision };
    for (const write of writes) {
      const lease = write.do === "put" ? write.lease : undefined;
      if (lease !== undefined && !leases.has(lease)) throw leaseEnded(lease);
    }
    this.#apply(writes, durable);
    return { succeeded: true, revision: this.#disk.revision };
  }

  watch(
    prefix: string,
    options: { readonly fromRevision?: number },
    signal: AbortSignal,
  ): AsyncIterable<readonly StoreEvent[]> {
    return this.#feed.watch(prefix, options, signal);
  }

  async grantLease(ttlMs: number): Promise<number> {
    await this.#enter(() => checkLeaseTtl(ttlMs));
    const lease = ++this.#disk.lastLease;
    this.#disk.leases.set(lease, ttlMs);
    this.#disk.undurable.length = 0;
    this.#times.start(lease, ttlMs);
    return lease;
  }

  async keepLease(lease: number): Promise<void> {
    await this.#enter();
    if (!this.#times.renew(lease)) throw leaseEnded(lease);
  }

  async revokeLease(lease: number): Promise<void> {
    await this.#enter();
    await this.#times.revoke(lease);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#times.stop();
    this.#feed.end();
  }

  /** What every call does first. Waits only when a lease is past its time, so that calls keep their order. */
  async #enter(check: () => void = () => {}): Promise<void> {
    if (this.#closed) throw storeClosed();
    check();
    if (this.#times.hasDue()) await this.#times.endDue();
  }

  #endLease(lease: number): void {
    this.#disk.leases.delete(lease);
    const keys = [...this.#disk.entries.values()]
      .filter((entry) => entry.lease === lease)
      .map(({ key }) => key);
    this.#apply(keys.sort(compareUtf8).map((key) => ({ do: "delete", key })));
  }

  #apply(writes: readonly Write[], durable: "now" | "soon" = "now"): void {
    const revision = this.#disk.revision + 1;
    const events: StoreEvent[] = [];
    const before = new Map<string, StoreEntry | undefined>();
    if (durable === "now") this.#disk.undurable.length = 0;
    for (const write of writes) {
      const { key } = write;
      const found = this.#disk.entries.get(key);
      before.set(key, found);
      if (write.do === "put") {
        const createRevision = found?.createRevision ?? revision;
        const version = (found?.version ?? 0) + 1;
        const { value, lease = 0 } = write;
        const entry = { key, value, createRevision, modRevision: revision, version, lease };
        this.#disk.entries.set(key, entry);
        events.push({ key, revision, entry });
      } else if (this.#disk.entries.delete(key)) {
        events.push({ key, revision, entry: undefined });
      }
    }
    if (events.length === 0) return;
    if (durable === "soon") {
      this.#disk.undurable.push({ madeAt: this.#clock.monotonic(), before });
    }
    this.#disk.revision = revision;
    if (this.#disk.history.push(events) > 2 * STORE_HISTORY_REVISIONS) {
      this.#disk.history.splice(0, STORE_HISTORY_REVISIONS);
    }
    this.#feed.advance(
      revision,
      events.map(({ key }) => key),
    );
  }

  #readHistory(prefix: string, fromRevision: number): Stretch {
    const { history, revision } = this.#disk;
    const oldest = revision - history.length + 1;
    if (fromRevision < oldest) throw historyGone(fromRevision, oldest);
    const events = history.slice(fromRevision - oldest).flat();
    return {
      events: events.filter(({ key }) => key.startsWith(prefix)),
      nextRevision: revision + 1,
    };
  }
}
