import type { DatabaseSync, SQLOutputValue, StatementSync } from "node:sqlite";
import { Failure } from "../../core/failure.ts";
import {
  type Compare,
  STORE_HISTORY_REVISIONS,
  type StoreEntry,
  type StoreEvent,
  type TxnResult,
  type Write,
} from "../../core/ports/store.ts";
import { historyGone, type Stretch } from "../../core/store/feed.ts";
import { leaseEnded } from "../../core/store/request.ts";
import { prefixEnd } from "../../core/utf8.ts";

/** History is cut after this many revisions more than are promised, so not at each transaction. */
const PRUNE_STEP_REVISIONS = 500;
/** A stretch of history ends after the transaction that brings it to this many events, or characters of values. */
const STRETCH_LIMIT_EVENTS = 1_000;
const STRETCH_LIMIT_LENGTH = 1024 ** 2;
/** Every text is less than any blob: the end of a prefix that has none. */
const AFTER_ALL_TEXT = new Uint8Array(0);
const ENTRY = "key, value, create_revision, mod_revision, version, ifnull(lease, 0) AS lease";

type Row = Record<string, SQLOutputValue>;

/**
 * The store's rows. Reads are to be made outside of a transaction, so that they see only what is committed; changes
 * inside of one, which the caller begins and commits, telling {@link Tables.committed} or {@link Tables.rolledBack}.
 */
export class Tables {
  readonly #statement: Record<keyof ReturnType<typeof statements>, StatementSync>;
  /** As of the last commit, and with what is being changed now. */
  #committed: number;
  #revision: number;
  #changed: string[] = [];
  #sizeBytes = 0;

  constructor(db: DatabaseSync) {
    this.#statement = statements(db);
    this.#committed = this.#oneNumber("newest");
    this.#revision = this.#committed;
  }

  /** The revision of the last commit. */
  get revision(): number {
    return this.#committed;
  }

  /** Every lease and its time to live. */
  leases(): readonly { readonly lease: number; readonly ttlMs: number }[] {
    const rows = this.#statement.leases.all();
    return rows.map((row) => ({ lease: Number(row["id"]), ttlMs: Number(row["ttl_ms"]) }));
  }

  /** `Store.get`. */
  get(key: string): StoreEntry | undefined {
    const row = this.#statement.get.get(key);
    return row === undefined ? undefined : entryOf(row);
  }

  /** `Store.list`. */
  list(prefix: string): { revision: number; entries: StoreEntry[] } {
    const rows = this.#statement.list.all(prefix, prefixEnd(prefix) ?? AFTER_ALL_TEXT);
    return { revision: this.#committed, entries: rows.map(entryOf) };
  }

  /** Some history from a revision on: see `ReadHistory`. */
  history(prefix: string, fromRevision: number): Stretch {
    const oldest = this.#oneNumber("oldest") || 1;
    if (fromRevision < oldest) throw historyGone(fromRevision, oldest);
    const events: StoreEvent[] = [];
    let length = 0;
    const end = prefixEnd(prefix) ?? AFTER_ALL_TEXT;
    for (const row of this.#statement.history.iterate(fromRevision, prefix, end)) {
      const event = eventOf(row);
      const last = events.at(-1)?.revision;
      const full = events.length >= STRETCH_LIMIT_EVENTS || length >= STRETCH_LIMIT_LENGTH;
      if (full && last !== undefined && event.revision !== last) {
        return { events, nextRevision: last + 1 };
      }
      events.push(event);
      length += event.entry?.value.length ?? 0;
    }
    return { events, nextRevision: this.#committed + 1 };
  }

  /** `Store.txn`. Throws a `Failure` only when nothing has been written. */
  txn(compares: readonly Compare[], writes: readonly Write[]): TxnResult {
    for (const { key, modRevision } of compares) {
      const found = Number(this.#statement.modRevision.get(key)?.["mod_revision"] ?? 0);
      if (found !== modRevision) return { succeeded: false, revision: this.#revision };
    }
    for (const write of writes) {
      const lease = write.do === "put" ? write.lease : undefined;
      if (lease !== undefined && this.#statement.lease.get(lease) === undefined) {
        throw leaseEnded(lease);
      }
    }
    this.#apply(writes);
    return { succeeded: true, revision: this.#revision };
  }

  /** A new lease. */
  grantLease(ttlMs: number): number {
    return Number(this.#statement.grantLease.run(ttlMs).lastInsertRowid);
  }

  /** Removes a lease with its keys; absent is success. */
  endLease(lease: number): null {
    const rows = this.#statement.keysOfLease.all(lease);
    this.#apply(rows.map((row) => ({ do: "delete", key: String(row["key"]) })));
    this.#statement.endLease.run(lease);
    return null;
  }

  /** True when there is more history than is worth keeping. */
  get prunable(): boolean {
    const oldest = this.#oneNumber("oldest");
    return this.#committed - oldest >= STORE_HISTORY_REVISIONS + PRUNE_STEP_REVISIONS;
  }

  /** Removes the history that nobody is promised. */
  prune(): void {
    this.#statement.prune.run(this.#committed - STORE_HISTORY_REVISIONS);
  }

  /** What has been changed is committed. Gives the keys, and about how many bytes it took. */
  committed(): { readonly keys: readonly string[]; readonly sizeBytes: number } {
    const done = { keys: this.#changed, sizeBytes: this.#sizeBytes };
    this.#committed = this.#revision;
    this.rolledBack();
    return done;
  }

  /** What has been changed since the last commit is undone. */
  rolledBack(): void {
    this.#revision = this.#committed;
    this.#changed = [];
    this.#sizeBytes = 0;
  }

  #apply(writes: readonly Write[]): void {
    const revision = this.#revision + 1;
    let nth = 0;
    for (const write of writes) {
      const { key } = write;
      if (write.do === "put") {
        const { value, lease = null } = write;
        const row = this.#statement.put.get(key, value, revision, revision, lease) ?? {};
        const created = row["create_revision"] ?? null;
        const version = row["version"] ?? null;
        this.#statement.record.run(revision, nth++, key, value, created, version, lease);
        this.#sizeBytes += 2 * value.length;
      } else {
        if (this.#statement.delete.run(key).changes === 0) continue;
        this.#statement.record.run(revision, nth++, key, null, null, null, null);
      }
      this.#changed.push(key);
      this.#sizeBytes += 4_096;
    }
    if (nth > 0) this.#revision = revision;
  }

  #oneNumber(statement: "newest" | "oldest"): number {
    return Number(this.#statement[statement].get()?.["revision"] ?? 0);
  }
}

function statements(db: DatabaseSync) {
  const inRange = "key >= ? AND key < ?";
  return {
    get: db.prepare(`SELECT ${ENTRY} FROM entries WHERE key = ?`),
    list: db.prepare(`SELECT ${ENTRY} FROM entries WHERE ${inRange} ORDER BY key`),
    modRevision: db.prepare("SELECT mod_revision FROM entries WHERE key = ?"),
    put: db.prepare(
      `INSERT INTO entries (key, value, create_revision, mod_revision, version, lease) VALUES (?, ?, ?, ?, 1, ?)
       ON CONFLICT (key) DO UPDATE SET value = excluded.value, mod_revision = excluded.mod_revision,
         version = version + 1, lease = excluded.lease
       RETURNING create_revision, version`,
    ),
    delete: db.prepare("DELETE FROM entries WHERE key = ?"),
    record: db.prepare("INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?)"),
    newest: db.prepare("SELECT max(revision) AS revision FROM history"),
    oldest: db.prepare("SELECT min(revision) AS revision FROM history"),
    history: db.prepare(
      `SELECT key, value, create_revision, revision AS mod_revision, version, ifnull(lease, 0) AS lease
       FROM history WHERE revision >= ? AND ${inRange} ORDER BY revision, nth`,
    ),
    prune: db.prepare("DELETE FROM history WHERE revision <= ?"),
    leases: db.prepare("SELECT id, ttl_ms FROM leases ORDER BY id"),
    lease: db.prepare("SELECT 1 FROM leases WHERE id = ?"),
    grantLease: db.prepare("INSERT INTO leases (ttl_ms) VALUES (?)"),
    keysOfLease: db.prepare("SELECT key FROM entries WHERE lease = ? ORDER BY key"),
    endLease: db.prepare("DELETE FROM leases WHERE id = ?"),
  };
}

function entryOf(row: Row): StoreEntry {
  const { key, value, create_revision, mod_revision, version, lease } = row;
  if (typeof key !== "string" || typeof value !== "string") {
    throw new Failure("data_loss", "Cannot read an entry of the store: its row is not text");
  }
  return {
    key,
    value,
    createRevision: Number(create_revision),
    modRevision: Number(mod_revision),
    version: Number(version),
    lease: Number(lease),
  };
}

function eventOf(row: Row): StoreEvent {
  const revision = Number(row["mod_revision"]);
  const entry = row["value"] === null ? undefined : entryOf(row);
  return { key: String(row["key"]), revision, entry };
}
