import { createHash } from "node:crypto";
import { posix } from "node:path";
import { Failure } from "../core/failure.ts";
import { type Digest, hexOf, isDigest, parseDigest } from "../core/image/digest.ts";
import { choosePlatform, type Platform } from "../core/image/platform.ts";
import { type ImageName, imageNameOf, parseReference } from "../core/image/reference.ts";
import type { ForeignImage, ImageSource, OpenOptions } from "../core/ports/image-source.ts";
import { ArchiveInput } from "./archive-input.ts";
import {
  checkLayers,
  ensureAsMany,
  factsOf,
  hostPlatform,
  isAttestation,
  noPlatform,
  platformOf,
} from "./image-facts.ts";
import { collect, plainLayer, verified } from "./image-layer.ts";
import {
  type ArchiveDocument,
  CONFIG_LIMIT_BYTES,
  checkLayout,
  type Descriptor,
  MANIFEST_LIMIT_BYTES,
  parseArchiveManifest,
  parseImageConfig,
  parseIndex,
  parseIndexOrManifest,
} from "./image-schema.ts";
import { ImageSpool, readKept } from "./image-spool.ts";
import { readImageTar } from "./image-tar.ts";

/** Links that are followed for one name. */
const LINKS_LIMIT = 8;
/** Indexes inside one another. */
const NESTING_LIMIT = 4;

/** `ImageSources.fromArchive`. @param parent Directory of what is kept meanwhile. */
export async function openImageArchive(
  parent: string,
  tar: AsyncIterable<Uint8Array>,
  { platform, received }: OpenOptions,
  signal: AbortSignal,
): Promise<ImageSource> {
  const spool = await ImageSpool.make(parent);
  try {
    const archive = new Archived(spool);
    await archive.read(counted(new ArchiveInput(tar, signal).plain(), received, signal));
    const images = await archive.images(platform ?? hostPlatform());
    return { images, close: () => spool.close() };
  } catch (thrown) {
    await spool.close();
    signal.throwIfAborted();
    throw thrown;
  }
}

async function* counted(
  bytes: AsyncIterable<Uint8Array>,
  received: (bytes: number) => void,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for await (const piece of bytes) {
    signal.throwIfAborted();
    received(piece.length);
    yield piece;
  }
}

interface Kept {
  readonly path: string;
  readonly sizeBytes: number;
}

/** An archive's files, in the spool, by their names. */
class Archived {
  readonly #spool: ImageSpool;
  readonly #files = new Map<string, Kept>();
  readonly #links = new Map<string, string>();

  constructor(spool: ImageSpool) {
    this.#spool = spool;
  }

  async read(tar: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const { path, kind, linkPath, content } of readImageTar(tar)) {
      this.#files.delete(path);
      this.#links.delete(path);
      if (kind === "file") this.#files.set(path, await this.#spool.keep(content));
      else if (kind === "hard link") this.#links.set(path, posix.normalize(linkPath));
      // docker save (to 24) writes a layer that it has written already as a link to it.
      else this.#links.set(path, posix.join(posix.dirname(path), linkPath));
    }
  }

  async images(wanted: Platform): Promise<readonly ForeignImage[]> {
    if (this.#files.has("oci-layout") && this.#find("index.json") !== undefined) {
      checkLayout(await this.#document("oci-layout", MANIFEST_LIMIT_BYTES));
      return this.#ofLayout(wanted);
    }
    if (this.#find("manifest.json") !== undefined) {
      const bytes = await this.#document("manifest.json", MANIFEST_LIMIT_BYTES);
      return Promise.all(parseArchiveManifest(bytes).map((each) => this.#ofDocker(each)));
    }
    throw new Failure(
      "invalid_argument",
      "Cannot import the image: the tar is neither an OCI layout nor what docker save writes; for the files of a volume: lagan import FILE NAME",
    );
  }

  /** One image for each name, that of the platform where there are several; those without a name are one each. */
  async #ofLayout(wanted: Platform): Promise<readonly ForeignImage[]> {
    const { manifests } = parseIndex(await this.#document("index.json", MANIFEST_LIMIT_BYTES));
    const groups = Map.groupBy(manifests.filter(isImage), (each) => nameIn(each) ?? each.digest);
    const images: ForeignImage[] = [];
    for (const group of groups.values()) {
      const offered = group.map((each) => platformIn(each));
      const chosen =
        group.length === 1 ? group[0] : choosePlatform(wanted, group, (each) => platformIn(each));
      if (chosen === undefined) throw noPlatform(wanted, offered);
      images.push(await this.#ofDescriptor(chosen, namesIn(group), wanted, 0));
    }
    if (images.length === 0) {
      throw new Failure("not_found", "Cannot import the image: the layout has no image");
    }
    return images;
  }

  async #ofDescriptor(
    descriptor: Descriptor,
    names: readonly ImageName[],
    wanted: Platform,
    depth: number,
  ): Promise<ForeignImage> {
    const read = parseIndexOrManifest(await this.#blob(descriptor, MANIFEST_LIMIT_BYTES));
    if ("index" in read) {
      const choices = read.index.manifests.filter(isImage);
      const only = choices.length === 1 ? choices[0] : undefined;
      const chosen = only ?? choosePlatform(wanted, choices, platformIn);
      if (chosen === undefined || depth >= NESTING_LIMIT) {
        throw noPlatform(wanted, choices.map(platformIn));
      }
      return this.#ofDescriptor(chosen, names, wanted, depth + 1);
    }
    const { config: configOf, layers } = read.manifest;
    const config = parseImageConfig(await this.#blob(configOf, CONFIG_LIMIT_BYTES));
    checkLayers(config, layers);
    const { diff_ids: diffIds } = config.rootfs;
    return {
      facts: factsOf(config, configOf.digest, descriptor.digest),
      ...{ names, diffIds },
      want: (places) => places.reduce((sum, place) => sum + (layers[place]?.size ?? 0), 0),
      layer: (place, signal) => {
        const layer = at(layers, place);
        const bytes = readKept(this.#get(blobPath(layer.digest)).path);
        const expected = { digest: layer.digest, sizeBytes: layer.size };
        return plainLayer(verified(bytes, expected), at(diffIds, place), signal);
      },
    };
  }

  async #ofDocker({ Config, RepoTags, Layers }: ArchiveDocument[number]): Promise<ForeignImage> {
    const bytes = await this.#document(posix.normalize(Config), CONFIG_LIMIT_BYTES);
    const config = parseImageConfig(bytes);
    ensureAsMany(config, Layers.length);
    const { diff_ids: diffIds } = config.rootfs;
    const kept = Layers.map((path) => this.#get(posix.normalize(path)));
    // The JSON is the image's own, byte for byte: docker names it by its digest.
    const id = parseDigest(`sha256:${createHash("sha256").update(bytes).digest("hex")}`);
    return {
      facts: factsOf(config, id, null),
      names: (RepoTags ?? []).flatMap((text) => imageNameOf(parseReference(text)) ?? []),
      diffIds,
      want: (places) => places.reduce((sum, place) => sum + (kept[place]?.sizeBytes ?? 0), 0),
      layer: (place, signal) =>
        plainLayer(readKept(at(kept, place).path), at(diffIds, place), signal),
    };
  }

  async #blob({ digest, size }: Descriptor, limitBytes: number): Promise<Uint8Array> {
    this.#checkSize(blobPath(digest), limitBytes);
    const bytes = readKept(this.#get(blobPath(digest)).path);
    return collect(verified(bytes, { digest, sizeBytes: size }));
  }

  async #document(name: string, limitBytes: number): Promise<Uint8Array> {
    this.#checkSize(name, limitBytes);
    return collect(readKept(this.#get(name).path));
  }

  #checkSize(name: string, limitBytes: number): void {
    if (this.#get(name).sizeBytes <= limitBytes) return;
    throw new Failure(
      "invalid_argument",
      `Cannot import the image: ${JSON.stringify(name)} has more than ${limitBytes} bytes`,
    );
  }

  #get(name: string): Kept {
    const found = this.#find(name);
    if (found !== undefined) return found;
    throw new Failure(
      "invalid_argument",
      `Cannot import the image: ${JSON.stringify(name)} is not in the archive`,
    );
  }

  #find(name: string): Kept | undefined {
    let path: string | undefined = name;
    for (let links = 0; path !== undefined && links < LINKS_LIMIT; links++) {
      const kept = this.#files.get(path);
      if (kept !== undefined) return kept;
      path = this.#links.get(path);
    }
    return undefined;
  }
}

function blobPath(digest: Digest): string {
  return `blobs/${digest.split(":")[0]}/${hexOf(digest)}`;
}

function isImage(descriptor: Descriptor): boolean {
  return !isAttestation(descriptor);
}

function platformIn({ platform }: Descriptor): Platform | null {
  return platform === undefined ? null : platformOf(platform);
}

/** Whole names: those of containerd, and of tools that write one where the spec has a tag. */
function namesIn(group: readonly Descriptor[]): readonly ImageName[] {
  const names = group.flatMap((each) => {
    const name = nameIn(each);
    return name === undefined ? [] : (imageNameOf(parseReference(name)) ?? []);
  });
  return [...new Set(names)];
}

function nameIn({ annotations }: Descriptor): string | undefined {
  const whole = annotations?.["io.containerd.image.name"];
  if (whole !== undefined) return whole;
  const name = annotations?.["org.opencontainers.image.ref.name"];
  // What could be a tag is one, and a tag alone names no image.
  return name !== undefined && /[:/]/.test(name) && !isDigest(name) ? name : undefined;
}

function at<T>(items: readonly T[], place: number): T {
  const item = items[place];
  if (item !== undefined) return item;
  throw new Failure("internal", `Internal error: the image has no layer ${place}`);
}
