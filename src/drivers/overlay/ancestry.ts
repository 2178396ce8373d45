import { Failure } from "../../core/failure.ts";
import type { LayerId } from "../../core/id.ts";
import type { LayerRecord } from "../shared/layer-record.ts";
import { ensureFound } from "../shared/layer-rules.ts";
import type { Shelf } from "../shared/shelf.ts";
import { DEPTH_LIMIT } from "./mount-options.ts";

/** What is known of a committed layer, which never changes. */
interface Ancestor {
  readonly content: string;
  readonly parent: LayerId | null;
}

/** The layers that a layer stands on. Read once each: a deep chain is asked for at each mount. */
export class Ancestry {
  readonly #known = new Map<LayerId, Ancestor>();

  /** Names of the contents of `layer`, which is committed, and of all it stands on, topmost first; null: none. */
  async contentsOf(shelf: Shelf, layer: LayerId | null): Promise<readonly string[]> {
    const contents: string[] = [];
    for (let next = layer; next !== null; ) {
      const { content, parent } = await this.#get(shelf, next);
      contents.push(content);
      next = parent;
    }
    return contents;
  }

  /** @throws {Failure} `failed_precondition` when nothing more can stand on `layer`. */
  async ensureNotTooDeep(shelf: Shelf, attempt: string, layer: LayerId | null): Promise<void> {
    const { length } = await this.contentsOf(shelf, layer);
    if (length < DEPTH_LIMIT) return;
    throw new Failure(
      "failed_precondition",
      `${attempt}: it would stand on ${length} layers, and the kernel takes ${DEPTH_LIMIT}; export it and import it as a new volume, which stands on none`,
    );
  }

  /** A layer that was committed just now. */
  learn(layer: LayerId, record: LayerRecord): void {
    const { content, parent } = record;
    if (content !== undefined) this.#known.set(layer, { content, parent });
  }

  /** The content of a committed layer that is known; undefined: its record has to be read. */
  findContent(layer: LayerId): string | undefined {
    return this.#known.get(layer)?.content;
  }

  forget(layer: LayerId): void {
    this.#known.delete(layer);
  }

  async #get(shelf: Shelf, layer: LayerId): Promise<Ancestor> {
    const known = this.#known.get(layer);
    if (known !== undefined) return known;
    const attempt = `Cannot find layer ${layer}, which others stand on`;
    const { record } = ensureFound(attempt, await shelf.find(layer));
    const found = { content: contentOf(layer, record), parent: record.parent };
    this.#known.set(layer, found);
    return found;
  }
}

/** @throws {Failure} `data_loss` when the record does not say where the layer's content is. */
export function contentOf(layer: LayerId, { content }: LayerRecord): string {
  if (content !== undefined) return content;
  throw new Failure("data_loss", `Cannot use layer ${layer}: its record names no content`);
}
