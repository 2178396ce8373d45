import { Failure } from "../core/failure.ts";
import type { Digest } from "../core/image/digest.ts";
import type { Image, NamedImage } from "../core/image/image.ts";
import type { ImageName } from "../core/image/reference.ts";
import type { Log } from "../core/ports/log.ts";
import type { Store, StoreEntry, Write } from "../core/ports/store.ts";

/*
 * Keys. Invariants, kept by every transaction of images:
 * 1. image-names/NAME holds the id of an image that has a record.
 * 2. images/ID is written after its layers are held, and deleted before they are let go.
 */
const IMAGES = "images/";
const NAMES = "image-names/";
/** Version of the records' form. */
const FORMAT = 1;

/** Records of images and their names. The only place that knows their keys and form. */
export class ImageRecords {
  readonly #store: Store;
  readonly #log: Log;

  constructor(store: Store, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  /** Every image with its names, by id. A record that cannot be read is left out and told. */
  async list(): Promise<readonly NamedImage[]> {
    const [images, names] = await Promise.all([this.#store.list(IMAGES), this.#store.list(NAMES)]);
    const byId = new Map<string, ImageName[]>();
    for (const { key, value } of names.entries) {
      const own = byId.get(value) ?? [];
      own.push(key.slice(NAMES.length) as ImageName);
      byId.set(value, own);
    }
    return images.entries.flatMap((entry) => {
      const image = this.#decode(entry);
      const own = byId.get(entry.key.slice(IMAGES.length)) ?? [];
      return image === undefined ? [] : [{ ...image, names: own }];
    });
  }

  /** Makes the writes. */
  async write(writes: readonly Write[]): Promise<void> {
    await this.#store.txn([], writes);
  }

  #decode({ key, value }: StoreEntry): Image | undefined {
    try {
      const { format, ...image } = JSON.parse(value);
      if (format === FORMAT) return image as Image;
    } catch {
      // Told below.
    }
    this.#log.error("a record of images cannot be read and is left out", { key });
    return undefined;
  }
}

/** The write that stores an image. @throws {Failure} `resource_exhausted` when it says too much of itself. */
export function putImage(image: Image): Write {
  const value = JSON.stringify({ format: FORMAT, ...image });
  if (value.length > VALUE_LIMIT) {
    throw new Failure(
      "resource_exhausted",
      `Cannot keep image ${image.id}: its configuration and history are longer than a record can be`,
    );
  }
  return { do: "put", key: IMAGES + image.id, value };
}

/** Longest record, in characters of at most three bytes each: within the store's 1 MiB. */
const VALUE_LIMIT: number = 340 * 1024;

/** The write that takes an image's record away. */
export function dropImage(id: Digest): Write {
  return { do: "delete", key: IMAGES + id };
}

/** The write that gives a name to an image, whichever had it. */
export function nameImage(name: ImageName, id: Digest): Write {
  return { do: "put", key: NAMES + name, value: id };
}

/** The write that frees a name. */
export function freeImageName(name: ImageName): Write {
  return { do: "delete", key: NAMES + name };
}
