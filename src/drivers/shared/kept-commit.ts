import type { LayerId } from "../../core/id.ts";
import type { Files } from "../../core/ports/files.ts";
import type { Shelf, ShelvedLayer } from "./shelf.ts";
import type { Trees } from "./trees.ts";

/** The two halves of a commit of a layer of which the caller keeps a durable record (`LayerCare`). */
export class KeptCommit {
  readonly #trees: Trees;
  readonly #files: Files;

  constructor(trees: Trees, files: Files) {
    this.#trees = trees;
    this.#files = files;
  }

  /** The content and the note that it is to be `as` are on the disk together. False: it counts as touched. */
  async begin(
    shelf: Shelf,
    attempt: string,
    { info, record }: ShelvedLayer,
    as: LayerId,
    signal: AbortSignal,
  ): Promise<false> {
    const content = shelf.content(info.id);
    await this.#trees.retire?.(content, attempt, signal);
    const committed = { ...record, committedAs: as, committedFrom: info.id };
    await this.#files.perform(shelf.stepsToRewrite(info.id, committed));
    await this.#trees.flush(content, signal);
    return false;
  }

  /**
   * The layer changes its id. What a power cut takes back, the caller does again; but for the flag that keeps writers out of a
   * committed tree: who gets at one by its mount cannot write in any case.
   *
   * @returns False when it was not begun, or has ended.
   */
  async end(shelf: Shelf, active: LayerId, as: LayerId): Promise<boolean> {
    const found = await shelf.find(active);
    if (found?.info.kind !== "active" || found.record.committedAs !== as) return false;
    await this.#files.perform(shelf.stepsToRename(active, as));
    await this.#trees.seal(shelf.content(as));
    return true;
  }
}
