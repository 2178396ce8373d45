import { Failure } from "../../core/failure.ts";
import type { LayerId } from "../../core/id.ts";
import type { FileStep, Files } from "../../core/ports/files.ts";
import type { LayerCare, NewLayer } from "../../core/ports/storage-driver.ts";
import { flushFileSystem } from "../shared/flush.ts";
import { describeLayer, type LayerRecord, NEW_RECORD } from "../shared/layer-record.ts";
import type { ShelvedLayer } from "../shared/shelf.ts";
import { type Ancestry, contentOf } from "./ancestry.ts";
import type { Book } from "./book.ts";
import type { Contents } from "./contents.ts";
import type { Uses } from "./uses.ts";

/**
 * Care for the content of layers that change no more, and the quick ways for layers of which a caller keeps a durable record
 * (`LayerCare`): each is a list of steps in one go, of which none is durable by itself. Each answers false when it did not work
 * out: then the long way is gone, which finds out why, and what an earlier call has left.
 */
export class Keeping {
  readonly #files: Files;
  readonly #contents: Contents;
  readonly #ancestry: () => Ancestry;
  readonly #uses: Uses;
  /** Active layers and views that were made here since the pool was opened: nobody else changes their records. */
  readonly #known = new Map<LayerId, ShelvedLayer>();
  /**
   * With a file that somebody syncs, a journal takes along all names that were given before; the log of btrfs only the file's
   * own. A power cut would leave what a container has synced, and nothing that says whose it is.
   */
  #syncsNames = false;
  /** Records that active layers have got to be committed with. */
  readonly #committing = new Map<LayerId, LayerRecord>();

  constructor(files: Files, contents: Contents, uses: Uses, ancestry: () => Ancestry) {
    this.#files = files;
    this.#contents = contents;
    this.#uses = uses;
    this.#ancestry = ancestry;
  }

  /** Nothing is known any more. @param fileSystem Of the pool. */
  open(fileSystem: string): void {
    this.forget();
    this.#syncsNames = fileSystem === "btrfs";
  }

  /** A layer as it was made; undefined: its record has to be read. */
  find(layer: LayerId): ShelvedLayer | undefined {
    return this.#known.get(layer);
  }

  /** The record of this layer may be another from now on; left out: those of all. */
  forget(layer?: LayerId): void {
    for (const map of [this.#known, this.#committing]) {
      if (layer === undefined) map.clear();
      else map.delete(layer);
    }
  }

  async prepare(
    book: Book,
    attempt: string,
    layer: LayerId,
    { parent, owner, recorded }: NewLayer,
  ): Promise<boolean> {
    // Nobody could tell later that one without a parent is as it was made.
    if (parent === null) await recorded;
    await this.#ancestry().ensureNotTooDeep(book.shelf, attempt, parent);
    const [like] = await this.#ancestry().contentsOf(book.shelf, parent);
    const content = this.#contents.newName();
    return book.withContent(content, async () => {
      const root = like === undefined ? owner : { like };
      const ahead = parent !== null && recorded !== undefined;
      const record: LayerRecord = { ...NEW_RECORD, parent, content, ...(ahead && { ahead }) };
      const steps = [
        ...this.#contents.stepsToMake(content, root),
        ...book.shelf.stepsToMake(layer, record),
        ...(like === undefined ? [] : this.#contents.stepsToWatch(content)),
      ];
      let made = false;
      try {
        made = await this.#perform(steps);
        if (made && this.#syncsNames) {
          // In this order: a record never names what is not there.
          await this.#contents.syncNames();
          await book.shelf.syncLayers();
        }
        await recorded;
        if (made) return this.#learn(layer, record);
      } catch (thrown) {
        await this.#takeBack(book, made ? layer : undefined, content);
        throw thrown;
      }
      if ((await book.shelf.find(layer))?.record.content === content) return true;
      await this.#contents.remove(content, new AbortController().signal);
      return false;
    });
  }

  async view(book: Book, layer: LayerId, parent: LayerId): Promise<boolean> {
    const record: LayerRecord = { ...NEW_RECORD, kind: "view", parent };
    const made = await this.#perform(book.shelf.stepsToMake(layer, record));
    return made && this.#learn(layer, record);
  }

  /** Sees to it that nobody writes to a content, and that what was written is on the disk. */
  async quiet(
    attempt: string,
    name: string,
    signal: AbortSignal,
    { kept }: LayerCare = {},
  ): Promise<void> {
    const { content } = this.#contents.of(name);
    if (!kept) await this.#uses.ensureNone(content, attempt);
    await flushFileSystem(this.#files, content, signal);
    signal.throwIfAborted();
  }

  /** The content and the note that it is to be `as` are on the disk together; or true, and it is as it was made. */
  async beginCommit(book: Book, layer: ShelvedLayer, as: LayerId): Promise<boolean> {
    if (await this.isUntouched(book, layer)) return true;
    const active = layer.info.id;
    const committed = { ...layer.record, committedAs: as, committedFrom: active };
    this.forget(active);
    await this.#files.perform(book.shelf.stepsToRewrite(active, committed));
    await this.#files.syncFileSystem(this.#contents.directory);
    this.#committing.set(active, committed);
    return false;
  }

  /** What has no parent is never as sure to be made again: its root has the time at which it was made. */
  async isUntouched(book: Book, { info, record }: ShelvedLayer): Promise<boolean> {
    const [model] = await this.#ancestry().contentsOf(book.shelf, record.parent);
    if (model === undefined || info.kind === "view") return false;
    const { content } = this.#contents.of(contentOf(info.id, record));
    // A watch knows without a thread's help.
    if (this.#files.isUnchanged(content)) return true;
    return this.#files.isUntouchedLike(content, this.#contents.of(model).content);
  }

  async commit(book: Book, active: LayerId, as: LayerId): Promise<boolean> {
    const noted = this.#committing.get(active);
    const record = noted ?? (this.find(active) ?? (await book.findReadable(active)))?.record;
    this.forget(active);
    if (record === undefined) return false;
    const committed = { ...record, committedAs: as, committedFrom: active };
    const done = await this.#perform([
      ...(record.committedAs === as ? [] : book.shelf.stepsToRewrite(active, committed)),
      ...book.shelf.stepsToRename(active, as),
    ]);
    if (done) this.#ancestry().learn(as, committed);
    return done;
  }

  /**
   * Removes layers of which none stands on another; answers those that are gone. Durable with `Shelf.syncLayers`.
   * Out of sight go all first, in one step: what they have left then goes together too.
   */
  async removeAll(
    book: Book,
    layers: readonly LayerId[],
    sweep: object,
    signal: AbortSignal,
  ): Promise<LayerId[]> {
    const going = new Map<LayerId, string | undefined>();
    for (const layer of layers) {
      const found = await this.#findUnused(book, layer, sweep);
      if (found !== undefined) going.set(layer, found.content);
    }
    signal.throwIfAborted();
    const gone = [...going.keys()];
    for (const layer of gone) this.forget(layer);
    // The rest is as after a crash in the middle.
    if (!(await this.#perform(gone.flatMap((one) => book.shelf.stepsToWithdraw(one))))) return [];
    for (const layer of gone) this.#ancestry().forget(layer);
    await book.discardAll(going, signal);
    return gone;
  }

  /** @throws {Failure} `failed_precondition` when somebody has the content mounted. */
  async ensureUnused(book: Book, attempt: string, layer: LayerId, sweep?: object): Promise<void> {
    const content = (await book.findReadable(layer))?.record.content;
    if (content === undefined) return;
    await this.#uses.ensureNone(this.#contents.of(content).content, attempt, sweep);
  }

  /** A layer that can go, and its content; undefined: why it cannot, its own removal tells. */
  async #findUnused(
    book: Book,
    layer: LayerId,
    sweep: object,
  ): Promise<{ readonly content: string | undefined } | undefined> {
    const committed = this.#ancestry().findContent(layer);
    const known = committed === undefined ? this.find(layer)?.record : { content: committed };
    const found = known ?? (await book.findReadable(layer))?.record;
    if (found?.content === undefined) return found && { content: undefined };
    const { content } = this.#contents.of(found.content);
    const used = (await this.#uses.find(content, sweep)) !== undefined;
    return used ? undefined : { content: found.content };
  }

  /** So that it holds no room until the next open, which clears what cannot be cleared now. */
  async #takeBack(book: Book, layer: LayerId | undefined, content: string): Promise<void> {
    const { signal } = new AbortController();
    try {
      if (layer !== undefined) await this.#files.perform(book.shelf.stepsToWithdraw(layer));
      await this.#contents.remove(content, signal);
      if (layer !== undefined) await book.discardAll(new Map([[layer, undefined]]), signal);
    } catch {
      // Told to nobody: what the caller hears is why it was not made.
    }
  }

  #learn(layer: LayerId, record: LayerRecord): true {
    this.#known.set(layer, { info: describeLayer(layer, record), record });
    return true;
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
