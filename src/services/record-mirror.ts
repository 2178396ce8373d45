import type { Store, StoreEntry, Write } from "../core/ports/store.ts";
import type { Recorded } from "./recorded.ts";

/** What a transaction did to one key. */
interface Change<T> {
  readonly key: string;
  /** Undefined: the key is gone. */
  readonly record: Recorded<T> | undefined;
  readonly revision: number;
}

/** The records of a prefix. */
interface Held<T> {
  readonly records: Map<string, Recorded<T>>;
  /** Of the store, when it was read. */
  readonly revision: number;
  /** In order of the keys; undefined after a change. */
  sorted: readonly Recorded<T>[] | undefined;
}

/** Reads an entry; undefined for what is to be left out. */
type Decode<T> = (
  entry: Pick<StoreEntry, "key" | "value" | "modRevision">,
) => Recorded<T> | undefined;

/**
 * Every record under a prefix, read once and then kept in memory, following the transactions of this process: listings come
 * in many pages, and to read and parse 10,000 records for each is most of their time. Sound while it hears of every
 * transaction that changes the prefix; a store that other nodes write to will feed it by a watch.
 */
export class RecordMirror<T> {
  readonly #store: Store;
  readonly #prefix: string;
  readonly #decode: Decode<T>;
  #held: Promise<Held<T>> | undefined;
  /** Changes that came while the store was being read, whose answer may have them or not. */
  #missed: Change<T>[] | undefined;
  /** The last change of each key while transactions are under way, whose answers may come in any order. */
  readonly #changedAt = new Map<string, number>();
  readonly #underWay = new Set<Promise<void>>();
  #doubt = false;

  constructor(store: Store, prefix: string, decode: Decode<T>) {
    this.#store = store;
    this.#prefix = prefix;
    this.#decode = decode;
  }

  /**
   * In order of the keys. What is given out never changes: a later change makes another list. It has every transaction
   * that the store may have made when this was called: those under way are waited for, as the store would.
   */
  async list(): Promise<readonly Recorded<T>[]> {
    if (this.#underWay.size > 0) await Promise.all(this.#underWay);
    if (this.#doubt) return sortedOf(await this.#read());
    this.#held ??= this.#load();
    const reading = this.#held;
    try {
      return sortedOf(await reading);
    } catch (thrown) {
      if (this.#held === reading) this.#held = undefined;
      throw thrown;
    }
  }

  /**
   * Follows a transaction of `writes`.
   *
   * @param txn Resolves to the store's revision after it; undefined: nothing was changed, and that is sure.
   */
  async follow(writes: readonly Write[], txn: Promise<number | undefined>): Promise<void> {
    const ours = writes.filter(({ key }) => key.startsWith(this.#prefix));
    if (ours.length === 0) return;
    const following = this.#follow(ours, txn);
    this.#underWay.add(following);
    await following;
    this.#underWay.delete(following);
    if (this.#underWay.size === 0) this.#changedAt.clear();
  }

  async #follow(ours: readonly Write[], txn: Promise<number | undefined>): Promise<void> {
    try {
      const revision = await txn;
      if (revision === undefined) return;
      const changes = ours.map((write): Change<T> => this.#changeOf(write, revision));
      this.#missed?.push(...changes);
      const held = await this.#held?.catch(() => undefined);
      if (held !== undefined) this.#apply(held, changes);
    } catch {
      // It may still come to pass: nothing is kept any more.
      this.#doubt = true;
      this.#held = undefined;
    }
  }

  #changeOf(write: Write, revision: number): Change<T> {
    const { key } = write;
    const record =
      write.do === "put"
        ? this.#decode({ key, value: write.value, modRevision: revision })
        : undefined;
    return { key, record, revision };
  }

  async #load(): Promise<Held<T>> {
    const missed: Change<T>[] = [];
    this.#missed = missed;
    try {
      const held = await this.#read();
      this.#apply(
        held,
        missed.sort((a, b) => a.revision - b.revision),
      );
      return held;
    } finally {
      this.#missed = undefined;
    }
  }

  async #read(): Promise<Held<T>> {
    const { revision, entries } = await this.#store.list(this.#prefix);
    const records = new Map<string, Recorded<T>>();
    for (const entry of entries) {
      const record = this.#decode(entry);
      if (record !== undefined) records.set(entry.key, record);
    }
    return { records, revision, sorted: undefined };
  }

  #apply(held: Held<T>, changes: readonly Change<T>[]): void {
    for (const { key, record, revision } of changes) {
      const known = held.records.get(key)?.revision ?? this.#changedAt.get(key) ?? 0;
      if (revision <= Math.max(known, held.revision)) continue;
      this.#changedAt.set(key, revision);
      if (record === undefined) held.records.delete(key);
      else held.records.set(key, record);
      held.sorted = undefined;
    }
  }
}

function sortedOf<T>(held: Held<T>): readonly Recorded<T>[] {
  held.sorted ??= [...held.records]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, record]) => record);
  return held.sorted;
}
