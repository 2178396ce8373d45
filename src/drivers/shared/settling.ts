import type { LayerId } from "../../core/id.ts";
import type { LayerInfo } from "../../core/ports/storage-driver.ts";
import { ensureFits, isInTheWay } from "./layer-rules.ts";
import type { Shelf, ShelvedLayer } from "./shelf.ts";
import type { Trees } from "./trees.ts";

/** Changes of flags and limits, which take more than one step: a note says so, durably, until the last is done. */
export class Settling {
  readonly #trees: Trees;
  /** Layers whose note may be there, as far as this process has written it. */
  readonly #unsettled = new Set<LayerId>();

  constructor(trees: Trees) {
    this.#trees = trees;
  }

  /** Sets the limit of an active layer. Nothing without the trait. */
  async limit(
    shelf: Shelf,
    { info, record }: ShelvedLayer,
    sizeBytes: number | null,
    signal: AbortSignal,
  ): Promise<void> {
    if (this.#trees.traits.sizeLimit === false) return;
    const content = shelf.content(info.id);
    if (sizeBytes === info.sizeBytes) {
      if (this.#unsettled.has(info.id)) await this.settle(shelf, info.id);
      else await this.#trees.limit(content, sizeBytes);
      return;
    }
    if (sizeBytes !== null) {
      await this.#trees.flush(content, signal);
      const attempt = `Cannot set the size limit of layer ${info.id}`;
      await ensureFits(attempt, this.#trees, content, sizeBytes, signal);
    }
    await this.begin(shelf, info.id);
    signal.throwIfAborted();
    // First the limit, then the record, which never tells of a limit that could not be set.
    await this.#trees.limit(content, sizeBytes);
    await shelf.rewriteRecord(info.id, { ...record, sizeBytes });
    await this.#trees.settle();
    await this.#end(shelf, info.id);
  }

  /** Sets the limit of a tree that was just made, for a layer. */
  async limitNew(
    content: string,
    attempt: string,
    { parent, sizeBytes }: Pick<LayerInfo, "parent" | "sizeBytes">,
    signal: AbortSignal,
  ): Promise<void> {
    if (this.#trees.traits.sizeLimit === false || (parent ?? sizeBytes) === null) return;
    if (parent !== null && sizeBytes !== null) {
      await ensureFits(attempt, this.#trees, content, sizeBytes, signal);
    }
    // Also to lift one: a copy can have that of the tree that its parent was once taken of.
    await this.#trees.limit(content, sizeBytes);
  }

  /** Notes that {@link settle} is to follow. */
  async begin(shelf: Shelf, layer: LayerId): Promise<void> {
    this.#unsettled.add(layer);
    await shelf.unsettle(layer);
  }

  /** Ends a commit or a resize, also one that was cut short: flags and limit follow the record. */
  async settle(shelf: Shelf, layer: LayerId): Promise<void> {
    const found = await shelf.find(layer);
    const content = shelf.content(layer);
    if (found?.info.kind === "committed") await this.#trees.seal(content);
    if (found?.info.kind === "active" && this.#trees.traits.sizeLimit !== false) {
      const { record } = found;
      const sizeBytes = await this.#settleLimit(content, record.sizeBytes);
      if (sizeBytes !== record.sizeBytes) {
        await shelf.rewriteRecord(layer, { ...record, sizeBytes });
      }
    }
    await this.#trees.settle();
    await this.#end(shelf, layer);
  }

  /** The limit that holds from now on: what the record says, or what the storage was made to be meanwhile. */
  async #settleLimit(content: string, sizeBytes: number | null): Promise<number | null> {
    if (this.#trees.settleLimit) return this.#trees.settleLimit(content, sizeBytes);
    await this.#trees.limit(content, sizeBytes);
    return sizeBytes;
  }

  /**
   * Ends what calls left that never ended, but for directories in `underWork`.
   *
   * @returns Why something is still there: what stands in the way of one, such as a mount in it, must not stop the others' pool.
   */
  async clearLeftovers(
    shelf: Shelf,
    underWork: ReadonlySet<string>,
    discard: (directory: string) => Promise<void>,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    let stuck: string | undefined;
    const stick = (thrown: unknown): void => {
      if (!isInTheWay(thrown)) throw thrown;
      stuck = thrown.message;
    };
    const { directories, unsettled } = await shelf.leftovers();
    for (const directory of directories) {
      signal.throwIfAborted();
      if (!underWork.has(directory)) await discard(directory).catch(stick);
    }
    for (const layer of unsettled) {
      signal.throwIfAborted();
      await this.settle(shelf, layer).catch(stick);
    }
    return stuck;
  }

  async #end(shelf: Shelf, layer: LayerId): Promise<void> {
    await shelf.settled(layer);
    this.#unsettled.delete(layer);
  }
}
