import { isId } from "../../core/id.ts";
import { Book, HEAD_PROPERTIES, isOurs, parseHead } from "./book.ts";
import type { ZfsCommands } from "./commands.ts";

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
    const snapshots = new Map<string, string[]>();
    for (const text of await this.#zfs.snapshots(ours, signal)) {
      const [dataset = "", snapshot = ""] = text.split("@");
      snapshots.set(dataset, [...(snapshots.get(dataset) ?? []), snapshot]);
    }
    return new Book(
      [...properties].map(([dataset, values]) => ({
        ...parseHead(this.#base, this.#nameOf(dataset), values),
        snapshots: snapshots.get(dataset) ?? [],
      })),
    );
  }

  #nameOf(dataset: string): string {
    return dataset.slice(this.#base.length + 1);
  }
}

/** True when a layer is among these snapshots. */
export function hasLayer(snapshots: readonly string[]): boolean {
  return snapshots.some((snapshot) => isId(snapshot));
}
