import { Book, HEAD_PROPERTIES, type Head, isOurs, parseHead } from "./book.ts";
import type { SnapshotRow, ZfsCommands } from "./commands.ts";

/** Reads the {@link Book} of a pool when it is needed, and keeps it as long as nothing went wrong. */
export class Books {
  readonly #base: string;
  readonly #zfs: ZfsCommands;
  #book: Promise<Book> | undefined;

  constructor(base: string, zfs: ZfsCommands) {
    this.#base = base;
    this.#zfs = zfs;
  }

  async read(signal: AbortSignal): Promise<Book> {
    signal.throwIfAborted();
    if (this.#book === undefined) {
      // Others may wait for it too, so one caller's abort does not stop it.
      const reading = this.#load(new AbortController().signal);
      this.#book = reading;
      reading.catch(() => {
        if (this.#book === reading) this.#book = undefined;
      });
    }
    return this.#book;
  }

  /**
   * Does something that changes the pool, then notes what is so now. When it fails, nobody knows what is so, and the
   * next read asks ZFS. `note` comes in the order in which changes ended, also to a book that is being read meanwhile.
   */
  async change(work: () => Promise<void>, note: (book: Book) => void): Promise<void> {
    try {
      await work();
    } catch (thrown) {
      this.forget();
      throw thrown;
    }
    this.#book = this.#book?.then((book) => {
      note(book);
      return book;
    });
    // A reading that failed is its readers' to tell.
    this.#book?.catch(() => this.forget());
  }

  forget(): void {
    this.#book = undefined;
  }

  async #load(signal: AbortSignal): Promise<Book> {
    const full = await this.#zfs.children(this.#base, signal);
    const ours = full.filter((name) => isOurs(this.#nameOf(name)));
    const properties = await this.#zfs.properties(ours, HEAD_PROPERTIES, signal);
    const rows = new Map<string, SnapshotRow[]>();
    for (const row of await this.#zfs.snapshots(ours, signal)) {
      const some = rows.get(row.dataset);
      if (some === undefined) rows.set(row.dataset, [row]);
      else some.push(row);
    }
    return new Book(
      [...properties].map(([dataset, values]) => ({
        ...parseHead(this.#base, this.#nameOf(dataset), values),
        ...sortSnapshots(rows.get(dataset) ?? []),
      })),
    );
  }

  #nameOf(dataset: string): string {
    return dataset.slice(this.#base.length + 1);
  }
}

/** The snapshots of one dataset as a {@link Head} has them. */
export function sortSnapshots(
  rows: readonly SnapshotRow[],
): Readonly<Pick<Head, "snapshots" | "deferred">> {
  const names = (deferred: boolean): readonly string[] =>
    rows.filter((row) => row.deferred === deferred).map(({ snapshot }) => snapshot);
  return { snapshots: names(false), deferred: names(true) };
}
