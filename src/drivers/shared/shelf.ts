import { Failure } from "../../core/failure.ts";
import { isId, type LayerId } from "../../core/id.ts";
import type { FileStep, Files } from "../../core/ports/files.ts";
import type { LayerInfo } from "../../core/ports/storage-driver.ts";
import {
  damaged,
  describeLayer,
  formatLayerRecord,
  type LayerRecord,
  parseLayerRecord,
  RECORD_FILE,
} from "./layer-record.ts";

/** Directories on the way to a layer: others may pass through, nobody may list. */
const PASS_MODE = 0o711;

/** End of the name of the note that a layer is not settled. */
const UNSETTLED = ".unsettled";

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
 *     tmp/ID.unsettled                          its flags or limit may not be what its record says
 *
 * 1. A layer comes to be, changes its id and goes by one rename of its directory, so it is wholly there or not.
 * 2. A directory under `tmp` is nobody's, except while a call of this process works on it.
 */
export class Shelf {
  readonly #files: Files;
  readonly #root: string;
  readonly #syncNames: boolean;
  readonly #contentName: string;

  /** @param options `syncNames`: false when the caller makes the names of new layers durable. */
  constructor(
    root: string,
    files: Files,
    options: { readonly syncNames: boolean; readonly contentName: string },
  ) {
    this.#root = root;
    this.#files = files;
    this.#syncNames = options.syncNames;
    this.#contentName = options.contentName;
  }

  async ensureMade(): Promise<void> {
    await this.#files.ensureDirectory(`${this.#root}/layers`, { mode: PASS_MODE });
    await this.#files.ensureDirectory(`${this.#root}/tmp`, { mode: 0o700 });
  }

  /** Where a layer's own content is. */
  content(layer: LayerId): string {
    return `${this.#root}/layers/${layer}/${this.#contentName}`;
  }

  /** @throws {Failure} `data_loss` when the layer is there without a record that can be read. */
  async find(layer: LayerId): Promise<ShelvedLayer | undefined> {
    const [text] = await this.#files.readNotes([this.#recordOf(layer)]);
    return this.#read(layer, text);
  }

  async #read(layer: LayerId, text: string | undefined): Promise<ShelvedLayer | undefined> {
    if (text === undefined) {
      const directory = `${this.#root}/layers/${layer}`;
      if ((await this.#files.stat(directory)) === undefined) return undefined;
      throw damaged(layer);
    }
    const record = parseLayerRecord(layer, text);
    return { info: describeLayer(layer, record), record };
  }

  /** One of the layers whose parent is `layer`. */
  async findChild(layer: LayerId): Promise<LayerId | undefined> {
    if (!(await this.#canBeParent(layer))) return undefined;
    const { whole } = await this.list();
    return whole.find(({ info }) => info.parent === layer)?.info.id;
  }

  /** False when the layer is absent or of a kind that has no children; true when its record is damaged. */
  async #canBeParent(layer: LayerId): Promise<boolean> {
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
    const names = await this.#files.list(`${this.#root}/layers`);
    const ids = names.filter((name) => isId(name)).map((name) => name as LayerId);
    const texts = await this.#files.readNotes(ids.map((id) => this.#recordOf(id)));
    for (const [index, id] of ids.entries()) {
      try {
        const found = await this.#read(id, texts[index]);
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

  /** Writes the record of a layer that is being made. */
  async draftRecord(layer: LayerId, record: LayerRecord): Promise<void> {
    await this.#files.perform([this.#stepToDraftRecord(layer, record)]);
    if (this.#syncNames) await this.#files.syncDirectory(this.draftOf(layer));
  }

  /** The steps that make a layer from its record at once, where its directory holds nothing else. Not durable. */
  stepsToMake(layer: LayerId, record: LayerRecord): readonly FileStep[] {
    return [...this.stepsToDraft(layer, record), ...this.stepsToPublish(layer)];
  }

  /** The steps of {@link draft} and {@link draftRecord}. Not durable. */
  stepsToDraft(layer: LayerId, record: LayerRecord): readonly FileStep[] {
    return [
      { do: "makeDirectory", path: this.draftOf(layer), mode: PASS_MODE },
      this.#stepToDraftRecord(layer, record),
    ];
  }

  #stepToDraftRecord(layer: LayerId, record: LayerRecord): FileStep {
    const path = `${this.draftOf(layer)}/${RECORD_FILE}`;
    return { do: "writeNote", path, text: formatLayerRecord(record), fresh: true };
  }

  /** {@link publish}. Not durable. */
  stepsToPublish(layer: LayerId): readonly FileStep[] {
    return [{ do: "rename", from: this.draftOf(layer), to: `${this.#root}/layers/${layer}` }];
  }

  /** {@link rewriteRecord}. Not durable. */
  stepsToRewrite(layer: LayerId, record: LayerRecord): readonly FileStep[] {
    return [{ do: "writeNote", path: this.#recordOf(layer), text: formatLayerRecord(record) }];
  }

  /** {@link rename}. Not durable. */
  stepsToRename(from: LayerId, to: LayerId): readonly FileStep[] {
    const layers = `${this.#root}/layers`;
    return [{ do: "rename", from: `${layers}/${from}`, to: `${layers}/${to}` }];
  }

  /** {@link withdraw} of a layer that is there. Not durable before {@link syncLayers}. */
  stepsToWithdraw(layer: LayerId): readonly FileStep[] {
    return [{ do: "rename", from: `${this.#root}/layers/${layer}`, to: this.removedOf(layer) }];
  }

  /** Makes durable which layers there are. */
  syncLayers(): Promise<void> {
    return this.#files.syncDirectory(`${this.#root}/layers`);
  }

  /** Replaces the record of a layer, durably. */
  async rewriteRecord(layer: LayerId, record: LayerRecord): Promise<void> {
    await this.#files.perform(this.stepsToRewrite(layer, record));
    await this.#files.syncDirectory(`${this.#root}/layers/${layer}`);
  }

  /** The draft becomes the layer. */
  publish(layer: LayerId): Promise<void> {
    const path = `${this.#root}/layers/${layer}`;
    return this.#files.rename(this.draftOf(layer), path, { syncNames: this.#syncNames });
  }

  /** Notes, durably, that flags and limit of the layer may not follow its record until {@link settled}. */
  unsettle(layer: LayerId): Promise<void> {
    return this.#files.writeText(this.#noteOf(layer), "");
  }

  settled(layer: LayerId): Promise<void> {
    return this.#files.remove(this.#noteOf(layer));
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

  /** What calls left that never ended: directories that are nobody's, and layers that are not settled. */
  async leftovers(): Promise<{
    readonly directories: readonly string[];
    readonly unsettled: readonly LayerId[];
  }> {
    const names = await this.#files.list(`${this.#root}/tmp`);
    const noted = new Set(names.filter((name) => name.endsWith(UNSETTLED)));
    return {
      directories: names
        .filter((name) => !noted.has(name))
        .map((name) => `${this.#root}/tmp/${name}`),
      unsettled: [...noted]
        .map((name) => name.slice(0, -UNSETTLED.length))
        .filter((name) => isId(name))
        .map((name) => name as LayerId),
    };
  }

  #recordOf(layer: LayerId): string {
    return `${this.#root}/layers/${layer}/${RECORD_FILE}`;
  }

  #noteOf(layer: LayerId): string {
    return `${this.#root}/tmp/${layer}${UNSETTLED}`;
  }
}
