import { Failure } from "../../core/failure.ts";
import { isId, type LayerId } from "../../core/id.ts";
import type { Files } from "../../core/ports/files.ts";
import type { LayerInfo } from "../../core/ports/storage-driver.ts";
import {
  CONTENT_DIRECTORY,
  damaged,
  describeLayer,
  formatLayerRecord,
  type LayerRecord,
  parseLayerRecord,
  RECORD_FILE,
} from "./layer-record.ts";

/** Directories on the way to a layer: others may pass through, nobody may list. */
const PASS_MODE = 0o711;

/** A layer that is there, with its record. */
export interface ShelvedLayer {
  readonly info: LayerInfo;
  readonly record: LayerRecord;
}

/**
 * Where layers lie under a directory:
 *
 *     layers/ID/layer.json, layers/ID/_data/    a layer
 *     tmp/ID/, tmp/ID.removed/                  one that is being made, or removed
 *
 * 1. A layer comes to be, changes its id and goes by one rename of its directory, so it is wholly there or not.
 * 2. What is under `tmp` is nobody's, except while a call of this process works on it.
 */
export class Shelf {
  readonly #files: Files;
  readonly #root: string;

  constructor(root: string, files: Files) {
    this.#root = root;
    this.#files = files;
  }

  async ensureMade(): Promise<void> {
    await this.#files.ensureDirectory(`${this.#root}/layers`, { mode: PASS_MODE });
    await this.#files.ensureDirectory(`${this.#root}/tmp`, { mode: 0o700 });
  }

  /** Directory of a layer's own content. */
  content(layer: LayerId): string {
    return `${this.#root}/layers/${layer}/${CONTENT_DIRECTORY}`;
  }

  /** @throws {Failure} `data_loss` when the layer is there without a record that can be read. */
  async find(layer: LayerId): Promise<ShelvedLayer | undefined> {
    const directory = `${this.#root}/layers/${layer}`;
    const text = await this.#files.readText(`${directory}/${RECORD_FILE}`);
    if (text === undefined) {
      if ((await this.#files.stat(directory)) === undefined) return undefined;
      throw damaged(layer);
    }
    const record = parseLayerRecord(layer, text);
    return { info: describeLayer(layer, record), record };
  }

  /** False when the layer is absent or of a kind that has no children; true when its record is damaged. */
  async canBeParent(layer: LayerId): Promise<boolean> {
    try {
      return (await this.find(layer))?.info.kind === "committed";
    } catch (thrown) {
      if (thrown instanceof Failure && thrown.code === "data_loss") return true;
      throw thrown;
    }
  }

  /** Every layer in id order, and the ids of those whose record is damaged. */
  async list(): Promise<{
    readonly whole: readonly ShelvedLayer[];
    readonly damaged: readonly LayerId[];
  }> {
    const whole: ShelvedLayer[] = [];
    const lost: LayerId[] = [];
    for (const name of await this.#files.list(`${this.#root}/layers`)) {
      if (!isId(name)) continue;
      const id = name as LayerId;
      try {
        const found = await this.find(id);
        if (found !== undefined) whole.push(found);
      } catch (thrown) {
        if (!(thrown instanceof Failure) || thrown.code !== "data_loss") throw thrown;
        lost.push(id);
      }
    }
    return { whole, damaged: lost };
  }

  /** Begins a layer; answers its directory, in which nobody sees it yet. */
  async draft(layer: LayerId): Promise<string> {
    const directory = this.draftOf(layer);
    await this.#files.makeDirectory(directory, { mode: PASS_MODE });
    return directory;
  }

  draftOf(layer: LayerId): string {
    return `${this.#root}/tmp/${layer}`;
  }

  /** Writes the record into a layer's directory, durably with all that is in the directory. */
  writeRecord(directory: string, record: LayerRecord): Promise<void> {
    return this.#files.writeText(`${directory}/${RECORD_FILE}`, formatLayerRecord(record));
  }

  rewriteRecord(layer: LayerId, record: LayerRecord): Promise<void> {
    return this.writeRecord(`${this.#root}/layers/${layer}`, record);
  }

  /** The draft becomes the layer. */
  publish(layer: LayerId): Promise<void> {
    return this.#files.rename(this.draftOf(layer), `${this.#root}/layers/${layer}`);
  }

  /** The layer gets another id. */
  rename(from: LayerId, to: LayerId): Promise<void> {
    return this.#files.rename(`${this.#root}/layers/${from}`, `${this.#root}/layers/${to}`);
  }

  removedOf(layer: LayerId): string {
    return `${this.#root}/tmp/${layer}.removed`;
  }

  /** The layer is gone; what it held lies where {@link removedOf} says. Absent is success. */
  async withdraw(layer: LayerId): Promise<void> {
    const directory = `${this.#root}/layers/${layer}`;
    if ((await this.#files.stat(directory)) === undefined) return;
    await this.#files.rename(directory, this.removedOf(layer));
  }

  /** Directories of calls that never ended. */
  async leftovers(): Promise<readonly string[]> {
    const names = await this.#files.list(`${this.#root}/tmp`);
    return names.map((name) => `${this.#root}/tmp/${name}`);
  }
}
