import { Failure } from "../core/failure.ts";
import type { LayerId } from "../core/id.ts";
import { type Digest, shortDigest } from "../core/image/digest.ts";
import { findImage } from "../core/image/find.ts";
import type { Image, NamedImage } from "../core/image/image.ts";
import type { Platform } from "../core/image/platform.ts";
import {
  formatReference,
  type ImageName,
  imageNameOf,
  parseReference,
  type Reference,
  shortName,
} from "../core/image/reference.ts";
import type { PoolName } from "../core/name.ts";
import type { Operation } from "../core/operation/operation.ts";
import type { Clock } from "../core/ports/clock.ts";
import type {
  Credentials,
  ForeignImage,
  ImageSource,
  ImageSources,
} from "../core/ports/image-source.ts";
import type { Log } from "../core/ports/log.ts";
import type { EventLog } from "./event-log.ts";
import type { ImageCommits } from "./image-commits.ts";
import type { ImageLayers } from "./image-layers.ts";
import {
  dropImage,
  freeImageName,
  type ImageRecords,
  nameImage,
  putImage,
} from "./image-records.ts";
import type { KeyedQueue } from "./keyed-queue.ts";
import type { Operations } from "./operations.ts";
import { putOperation, type Records } from "./records.ts";
import type { Work } from "./underway.ts";

/** What {@link Images} works with. */
interface ImagesParts {
  readonly records: Records;
  readonly images: ImageRecords;
  readonly layers: ImageLayers;
  readonly commits: ImageCommits;
  readonly sources: ImageSources;
  readonly operations: Operations;
  /** Ids of images from which volumes were made. */
  readonly usedImages: () => Promise<readonly Digest[]>;
  readonly events: EventLog;
  readonly queue: KeyedQueue;
  readonly clock: Clock;
  readonly log: Log;
}

/** How an image is brought. */
export interface BringOptions {
  /** Null: that of this machine. */
  readonly platform: Platform | null;
  /** The name that the image gets in place of those that it comes with; null: those. */
  readonly name: ImageName | null;
}

/** What a removal did. */
export interface RemovedImage {
  readonly image: NamedImage;
  /** Names that it lost. */
  readonly untagged: readonly ImageName[];
  /** False: it is still here, under other names. */
  readonly removed: boolean;
}

/** Changes of records, one after the other: names are read before they are written. */
const CHANGES = "images";

/**
 * The images whose layers are here. What was half brought when the daemon ended is taken back: the record of an image is
 * written last, in one transaction with its names.
 */
export class Images {
  readonly #parts: ImagesParts;

  constructor(parts: ImagesParts) {
    this.#parts = parts;
  }

  /** Clears away what a crash left. Before it resolves nothing may be brought. */
  async open(): Promise<void> {
    await this.#parts.sources.clear();
    await this.#parts.layers.sweep();
  }

  /** What makes images of volumes. */
  get commits(): ImageCommits {
    return this.#parts.commits;
  }

  /** Every image, the one brought last first. Answered from the store alone. */
  async list(): Promise<readonly NamedImage[]> {
    const all = await this.#parts.images.list();
    return all.toSorted((a, b) => b.importedAt - a.importedAt || (a.id < b.id ? -1 : 1));
  }

  /** By name, digest, or the beginning of its id. @throws {Failure} `not_found`; `invalid_argument` for what is none. */
  async get(text: string): Promise<NamedImage> {
    return findImage(text, await this.list()).image;
  }

  /** Brings the images of an archive. @throws {Failure} as `ImageSources`, `LayerTar` and the pool have it. */
  importArchive(
    tar: AsyncIterable<Uint8Array>,
    options: BringOptions,
    signal: AbortSignal,
  ): Promise<readonly NamedImage[]> {
    const { sources } = this.#parts;
    const { platform, name } = options;
    return this.#bring(
      name === null ? "an archive" : shortName(name),
      options,
      (work) => sources.fromArchive(tar, { platform, received: counter(work) }, work.signal),
      signal,
    );
  }

  /** Brings an image from its registry. @throws {Failure} as `ImageSources.fromRegistry` and {@link importArchive}. */
  pull(
    reference: Reference,
    options: BringOptions & { readonly credentials: Credentials | null },
    signal: AbortSignal,
  ): Promise<readonly NamedImage[]> {
    const { sources } = this.#parts;
    const { platform, credentials } = options;
    return this.#bring(
      formatReference(reference),
      options,
      (work) => {
        const opening = { platform, credentials, received: counter(work) };
        return sources.fromRegistry(reference, opening, work.signal);
      },
      signal,
    );
  }

  /**
   * Takes a name away, and with the last one the image. By id: the image with all of its names.
   *
   * @throws {Failure} `not_found`; `failed_precondition` for the id of an image with several names, unless `force`.
   */
  async remove(text: string, { force }: { readonly force: boolean }): Promise<RemovedImage> {
    const { queue, images, layers, events } = this.#parts;
    const done = await queue.run(CHANGES, async () => {
      const { image, name } = findImage(text, await this.list());
      const untagged = name === undefined ? image.names : [name];
      if (name === undefined && untagged.length > 1 && !force) {
        const names = untagged.map(shortName).join(", ");
        throw new Failure(
          "failed_precondition",
          `Cannot remove image ${shortDigest(image.id)}: it has several names: ${names}; remove them by name, or use --force`,
        );
      }
      const removed = untagged.length === image.names.length;
      const record = removed ? [dropImage(image.id)] : [];
      await images.write([...untagged.map(freeImageName), ...record]);
      return { image, untagged, removed };
    });
    const { image, removed } = done;
    if (removed) {
      await layers.release(image.layers.map(({ chainId }) => chainId));
      events.emit({
        ...{ type: "image.removed", level: "info", subject: titleOf(image) },
        message: `Image ${titleOf(image)} was removed`,
      });
    }
    return done;
  }

  /** Removes those without a name; with `all` also those with one, from which no volume was made. */
  async prune({ all }: { readonly all: boolean }): Promise<readonly RemovedImage[]> {
    const used = new Set(all ? await this.#parts.usedImages() : []);
    const going = (await this.list()).filter(
      ({ id, names }) => names.length === 0 || (all && !used.has(id)),
    );
    const removed: RemovedImage[] = [];
    // One by one: one that somebody else removed meanwhile keeps none of the others.
    for (const { id } of going) {
      await this.remove(id, { force: true }).then(
        (one) => removed.push(one),
        (thrown: unknown) => {
          if (Failure.from(thrown).code !== "not_found") throw thrown;
        },
      );
    }
    return removed;
  }

  /**
   * Does `work` with an image and its topmost layer, which stay until it ends.
   *
   * @throws {Failure} `not_found`; what `work` throws.
   */
  async use<T>(
    text: string,
    work: (
      image: NamedImage,
      top: { readonly pool: PoolName; readonly layer: LayerId },
    ) => Promise<T>,
  ): Promise<T> {
    const { layers } = this.#parts;
    const image = await this.get(text);
    const chain = image.layers.map(({ chainId }) => chainId);
    return layers.keeping(chain, async () => {
      const top = chain.at(-1);
      // From here on its layers stay: it may have been removed before.
      await this.get(image.id);
      if (top === undefined) throw new Failure("internal", "Internal error: an image of no layer");
      return work(image, layers.get(top));
    });
  }

  /** For one that was cut off: what it left is cleared away by {@link open}. */
  async resumeImport(operation: Operation): Promise<void> {
    const { operations, records } = this.#parts;
    if (operations.underway.has(operation.id)) return;
    const failure = new Failure("aborted", "the daemon ended meanwhile; bring it again");
    await records.write([putOperation(operations.failed(operation, failure))]);
  }

  async #bring(
    target: string,
    options: BringOptions,
    open: (work: Work) => Promise<ImageSource>,
    signal: AbortSignal,
  ): Promise<readonly NamedImage[]> {
    const { operations, records } = this.#parts;
    const operation = operations.beginImage(target);
    await records.write([putOperation(operation)]);
    return operations.underway.run(operation, signal, async (work) => {
      try {
        const source = await open(work);
        try {
          return await this.#bringAll(source.images, options, work, operation);
        } finally {
          await source.close();
        }
      } catch (thrown) {
        const failure = Failure.from(thrown);
        await records
          .write([putOperation(operations.failed(operation, failure))])
          .catch((error: unknown) => {
            this.#parts.log.warn("failed import not written down", { target, error });
          });
        throw thrown;
      }
    });
  }

  async #bringAll(
    images: readonly ForeignImage[],
    { name }: BringOptions,
    work: Work,
    operation: Operation,
  ): Promise<readonly NamedImage[]> {
    if (name !== null && images.length > 1) {
      throw new Failure(
        "invalid_argument",
        `Cannot give the name "${shortName(name)}" to ${images.length} images: leave it out, and they have their own`,
      );
    }
    const { layers, operations } = this.#parts;
    const brought: NamedImage[] = [];
    for (const [place, image] of images.entries()) {
      const names = name === null ? image.names : [name];
      const last = place === images.length - 1;
      const ended = last ? [putOperation(operations.done(operation))] : [];
      const kept = await layers.bring(
        image,
        work.expectBytes,
        async (found) => {
          work.signal.throwIfAborted();
          const record = { ...image.facts, ...found, importedAt: this.#parts.clock.now() };
          await this.#write(record, names, ended);
          return record;
        },
        work.signal,
      );
      brought.push({ ...kept, names });
      this.#tell(kept, names);
    }
    return brought;
  }

  async #write(
    image: Image,
    names: readonly ImageName[],
    more: readonly ReturnType<typeof putOperation>[],
  ): Promise<void> {
    const { queue, images } = this.#parts;
    await queue.run(CHANGES, () =>
      images.write([putImage(image), ...names.map((name) => nameImage(name, image.id)), ...more]),
    );
  }

  #tell(image: Image, names: readonly ImageName[]): void {
    const title = titleOf({ ...image, names });
    this.#parts.events.emit({
      ...{ type: "image.imported", level: "info", subject: title },
      message: `Image ${title} is here: ${image.layers.length} layers in pool "${image.pool}"`,
    });
  }
}

/** Name of an image for people. */
export function titleOf({ names: [name], id }: Pick<NamedImage, "names" | "id">): string {
  return name === undefined ? shortDigest(id) : shortName(name);
}

/** The whole name that `text` gives to an image. @throws {Failure} `invalid_argument`, also for one with a digest. */
export function parseTag(text: string): ImageName {
  const reference = parseReference(text);
  const name = imageNameOf(reference);
  if (name !== undefined && reference.digest === null) return name;
  throw new Failure("invalid_argument", `Cannot name an image "${text}": give NAME:TAG, no digest`);
}

function counter({ progress }: Work): (bytes: number) => void {
  let done = 0;
  return (bytes) => {
    done += bytes;
    progress(done);
  };
}
