import { Failure } from "../../core/failure.ts";
import type { LayerId } from "../../core/id.ts";
import type { FileStep, Files } from "../../core/ports/files.ts";
import type { NewLayer } from "../../core/ports/storage-driver.ts";
import { type LayerRecord, NEW_RECORD } from "../shared/layer-record.ts";
import type { Ancestry } from "./ancestry.ts";
import type { Book } from "./book.ts";
import type { Contents } from "./contents.ts";

/**
 * The quick ways for layers of which a caller keeps a durable record (`LayerCare`): each is a list of steps in one go, of
 * which none is durable by itself. Each answers false when it did not work out: then the long way is gone, which finds out why,
 * and what an earlier call has left.
 */
export class Keeping {
  readonly #files: Files;
  readonly #contents: Contents;
  readonly #ancestry: () => Ancestry;

  constructor(files: Files, contents: Contents, ancestry: () => Ancestry) {
    this.#files = files;
    this.#contents = contents;
    this.#ancestry = ancestry;
  }

  async prepare(
    book: Book,
    attempt: string,
    layer: LayerId,
    { parent, owner }: NewLayer,
  ): Promise<boolean> {
    await this.#ancestry().ensureNotTooDeep(book.shelf, attempt, parent);
    const [like] = await this.#ancestry().contentsOf(book.shelf, parent);
    const content = this.#contents.newName();
    return book.withContent(content, async () => {
      const root = like === undefined ? owner : { like };
      const record: LayerRecord = { ...NEW_RECORD, parent, content };
      const steps = [
        ...this.#contents.stepsToMake(content, root),
        ...book.shelf.stepsToMake(layer, record),
      ];
      try {
        if (await this.#perform(steps)) return true;
      } catch (thrown) {
        // So that it holds no room until the next open, which clears what cannot be cleared now.
        await this.#contents.remove(content, new AbortController().signal).catch(() => undefined);
        throw thrown;
      }
      if ((await book.shelf.find(layer))?.record.content === content) return true;
      await this.#contents.remove(content, new AbortController().signal);
      return false;
    });
  }

  view(book: Book, layer: LayerId, parent: LayerId): Promise<boolean> {
    return this.#perform(book.shelf.stepsToMake(layer, { ...NEW_RECORD, kind: "view", parent }));
  }

  /** The content and the note that it is to be `as` are on the disk together. */
  async beginCommit(book: Book, active: LayerId, as: LayerId, record: LayerRecord): Promise<void> {
    const committed = { ...record, committedAs: as, committedFrom: active };
    await this.#files.perform(book.shelf.stepsToRewrite(active, committed));
    await this.#files.syncFileSystem(this.#contents.directory);
  }

  commit(book: Book, active: LayerId, as: LayerId): Promise<boolean> {
    return this.#perform(book.shelf.stepsToRename(active, as));
  }

  async #perform(steps: readonly FileStep[]): Promise<boolean> {
    try {
      await this.#files.perform(steps);
      return true;
    } catch (thrown) {
      const { code } = Failure.from(thrown);
      if (code !== "already_exists" && code !== "not_found") throw thrown;
      return false;
    }
  }
}
