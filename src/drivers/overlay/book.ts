import { Failure } from "../../core/failure.ts";
import type { LayerId } from "../../core/id.ts";
import type { Files } from "../../core/ports/files.ts";
import { type LayerRecord, parseLayerRecord, RECORD_FILE } from "../shared/layer-record.ts";
import { exists, isCommitOf, isInTheWay } from "../shared/layer-rules.ts";
import type { Shelf, ShelvedLayer } from "../shared/shelf.ts";
import type { Contents } from "./contents.ts";
import { Turn } from "./turn.ts";

/**
 * Records of layers and the contents that they name.
 *
 * 1. A content is made before a record names it, and removed when none does any more: what a crash leaves is a content that
 *    nobody names, which {@link open} clears away.
 * 2. A snapshot is one write of the active layer's record, which from then on tells of both. What follows gives the
 *    snapshot a record of its own; it is done before anybody looks, by this process or the next one.
 */
export class Book {
  readonly shelf: Shelf;
  readonly #files: Files;
  readonly #contents: Contents;
  readonly #turn = new Turn();
  /** Layers whose record may tell of a snapshot too. */
  readonly #pending = new Set<LayerId>();
  /** Contents and directories that a call works on: an `open` meanwhile lets them be. */
  readonly #underWork: Set<string>;
  /** What `open` could not clear away. */
  stuck: string | undefined;

  /** @param underWork Shared by all books of one driver. */
  constructor(shelf: Shelf, files: Files, contents: Contents, underWork: Set<string>) {
    this.shelf = shelf;
    this.#files = files;
    this.#contents = contents;
    this.#underWork = underWork;
  }

  /** Ends what was cut short. */
  async open(signal: AbortSignal): Promise<void> {
    await this.shelf.ensureMade();
    const there = await this.#contents.open();
    const { whole, damaged } = await this.shelf.list();
    for (const { info, record } of whole) {
      this.#contents.reserve(record.content ?? "0");
      if (record.snapshot !== undefined) this.#pending.add(info.id);
    }
    await this.settle();
    await this.#clear(signal);
    // A record that cannot be read may name any of them.
    if (damaged.length > 0) return;
    const named = new Set((await this.shelf.list()).whole.map(({ record }) => record.content));
    for (const name of there) {
      signal.throwIfAborted();
      if (named.has(name) || this.#underWork.has(name)) continue;
      await this.#contents.remove(name, signal).catch((thrown) => this.#stick(thrown));
    }
  }

  /** Every snapshot that was decided gets its record. */
  async settle(): Promise<void> {
    if (this.#pending.size > 0) await this.#turn.take(() => this.#settleAll());
  }

  /** Looks at several records while no snapshot is between its two. */
  look<T>(work: () => Promise<T>): Promise<T> {
    return this.#turn.take(work);
  }

  /** Does `work` that makes a content of this name; it is nobody's, and gone, when that fails. */
  async withContent<T>(name: string, work: () => Promise<T>): Promise<T> {
    this.#underWork.add(name);
    try {
      return await work();
    } finally {
      this.#underWork.delete(name);
    }
  }

  /** Undefined also when its record cannot be read. */
  async findReadable(layer: LayerId): Promise<ShelvedLayer | undefined> {
    try {
      return await this.shelf.find(layer);
    } catch (thrown) {
      if (thrown instanceof Failure && thrown.code === "data_loss") return undefined;
      throw thrown;
    }
  }

  /** Makes a layer from its record. */
  async publish(layer: LayerId, record: LayerRecord): Promise<void> {
    const draft = this.shelf.draftOf(layer);
    this.#underWork.add(draft);
    try {
      await this.#files.removeTree(draft, new AbortController().signal);
      await this.shelf.draft(layer);
      await this.shelf.draftRecord(layer, record);
      await this.shelf.publish(layer);
    } catch (thrown) {
      await this.#files.removeTree(draft, new AbortController().signal).catch(() => undefined);
      throw thrown;
    } finally {
      this.#underWork.delete(draft);
    }
  }

  /** `active` goes on with the content `next`; what it has had is the snapshot `as`. */
  snapshot({ info, record }: ShelvedLayer, as: LayerId, had: string, next: string): Promise<void> {
    return this.#turn.take(async () => {
      // Before the write: one that failed may have happened.
      this.#pending.add(info.id);
      const snapshot = { as, parent: record.parent, content: had };
      await this.shelf.rewriteRecord(info.id, { ...record, parent: as, content: next, snapshot });
      await this.#settleAll();
    });
  }

  /** What a removed layer has left. Absent is success. */
  async discard(layer: LayerId, signal: AbortSignal): Promise<void> {
    const directory = this.shelf.removedOf(layer);
    await this.#discarding([directory], async () => {
      const [text] = await this.#files.readNotes([`${directory}/${RECORD_FILE}`]);
      const content = text === undefined ? undefined : contentIn(layer, text);
      if (content !== undefined) await this.#contents.remove(content, signal);
      await this.#files.removeTree(directory, signal);
    });
  }

  /** {@link discard} of layers that had these contents. Not durable: what a power cut brings back the next `open` clears. */
  async discardAll(
    contents: ReadonlyMap<LayerId, string | undefined>,
    signal: AbortSignal,
  ): Promise<void> {
    const trees = [...contents].map(([layer, content]) => ({
      content: content === undefined ? [] : [this.#contents.forget(content)],
      directory: this.shelf.removedOf(layer),
    }));
    const directories = trees.map(({ directory }) => directory);
    // Each content before the record that names it: by that is found what is left when this breaks off.
    const paths = trees.flatMap(({ content, directory }) => [...content, directory]);
    await this.#discarding(directories, () => this.#files.removeTrees(paths, signal));
  }

  async #discarding(directories: readonly string[], work: () => Promise<void>): Promise<void> {
    for (const directory of directories) this.#underWork.add(directory);
    try {
      await work();
    } finally {
      for (const directory of directories) this.#underWork.delete(directory);
    }
  }

  async #settleAll(): Promise<void> {
    for (const id of [...this.#pending]) {
      const found = await this.shelf.find(id);
      const { snapshot, ...record } = found?.record ?? {};
      if (snapshot !== undefined) {
        const { as, parent, content } = snapshot;
        const there = await this.shelf.find(as);
        if (there === undefined) {
          const committed = { committedAs: as, committedFrom: id, sizeBytes: null, content };
          await this.publish(as, { kind: "active", parent, ...committed });
        } else if (!isCommitOf(there, id)) {
          throw exists(`Cannot end the snapshot of layer ${id} as ${as}`, as);
        }
        await this.shelf.rewriteRecord(id, record as LayerRecord);
      }
      this.#pending.delete(id);
    }
  }

  /** Removes the contents of removed layers with them: they are named by none of the others. */
  async #clear(signal: AbortSignal): Promise<void> {
    this.stuck = undefined;
    for (const directory of (await this.shelf.leftovers()).directories) {
      signal.throwIfAborted();
      if (this.#underWork.has(directory)) continue;
      await this.#files.removeTree(directory, signal).catch((thrown) => this.#stick(thrown));
    }
  }

  /** What stands in the way of one, such as a mount in it, must not stop the others' pool. */
  #stick(thrown: unknown): void {
    if (!isInTheWay(thrown)) throw thrown;
    this.stuck = thrown.message;
  }
}

function contentIn(layer: LayerId, text: string): string | undefined {
  try {
    return parseLayerRecord(layer, text).content;
  } catch (thrown) {
    // The next open finds what it named.
    if (thrown instanceof Failure && thrown.code === "data_loss") return undefined;
    throw thrown;
  }
}
