import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { Failure } from "../core/failure.ts";
import { algorithmOf, type Digest, parseDigest } from "../core/image/digest.ts";
import { choosePlatform, type Platform } from "../core/image/platform.ts";
import { imageNameOf, type Reference } from "../core/image/reference.ts";
import type {
  Credentials,
  ForeignImage,
  ImageSource,
  OpenOptions,
} from "../core/ports/image-source.ts";
import {
  checkLayers,
  factsOf,
  hostPlatform,
  isAttestation,
  noPlatform,
  platformOf,
} from "./image-facts.ts";
import { collect, plainLayer, verified } from "./image-layer.ts";
import {
  CONFIG_LIMIT_BYTES,
  type Descriptor,
  MANIFEST_LIMIT_BYTES,
  type ManifestDocument,
  MEDIA_TYPE,
  parseImageConfig,
  parseIndexOrManifest,
} from "./image-schema.ts";
import { ImageSpool, readKept } from "./image-spool.ts";
import { RegistryClient } from "./registry-client.ts";
import { downloadBlob } from "./registry-download.ts";

/** Layers that are brought at once: what Docker does. */
const DOWNLOADS_LIMIT = 3;

const ACCEPT = [
  MEDIA_TYPE.index,
  MEDIA_TYPE.manifest,
  MEDIA_TYPE.dockerIndex,
  MEDIA_TYPE.dockerManifest,
].join(", ");

/** `ImageSources.fromRegistry`. @param parent Directory of what is kept meanwhile. */
export async function openRegistry(
  parent: string,
  reference: Reference,
  options: OpenOptions & { readonly credentials: Credentials | null },
  signal: AbortSignal,
): Promise<ImageSource> {
  const { registry, repository } = reference;
  const client = new RegistryClient({ registry, repository, credentials: options.credentials });
  const found = await findManifest(
    client,
    reference.digest ?? reference.tag ?? "",
    reference.digest,
    options.platform ?? hostPlatform(),
    signal,
  );
  const { config: configOf, layers } = found.manifest;
  const bytes = await readBlob(client, configOf, signal);
  const config = parseImageConfig(bytes);
  checkLayers(config, layers);
  const { diff_ids: diffIds } = config.rootfs;
  const name = imageNameOf(reference);
  const downloads = new Downloads(client, await ImageSpool.make(parent), layers, options.received);
  const image: ForeignImage = {
    facts: factsOf(config, configOf.digest, found.digest),
    names: name === undefined ? [] : [name],
    diffIds,
    want: (places) => downloads.begin(places),
    layer: (place, aborted) => plainLayer(downloads.take(place), diffIds[place] as Digest, aborted),
  };
  return { images: [image], close: () => downloads.close() };
}

/** The manifest for a platform, by way of an index where there is one. */
async function findManifest(
  client: RegistryClient,
  what: string,
  expected: Digest | null,
  wanted: Platform,
  signal: AbortSignal,
  isNested = false,
): Promise<{ readonly manifest: ManifestDocument; readonly digest: Digest }> {
  const answer = await client.get(`manifests/${what}`, { accept: ACCEPT }, signal);
  const bytes = await limited(answer, MANIFEST_LIMIT_BYTES, "manifest");
  const algorithm = expected === null ? "sha256" : algorithmOf(expected);
  const digest = parseDigest(`${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`);
  if (expected !== null && digest !== expected) {
    throw new Failure(
      "data_loss",
      `Cannot use the manifest ${expected}: its content is another; the registry is damaged, or somebody stands between`,
    );
  }
  const read = parseIndexOrManifest(bytes);
  if ("manifest" in read) return { manifest: read.manifest, digest };
  const choices = read.index.manifests.filter((each) => !isAttestation(each));
  const chosen = choosePlatform(wanted, choices, platformIn);
  if (chosen === undefined || isNested) throw noPlatform(wanted, choices.map(platformIn));
  return findManifest(client, chosen.digest, chosen.digest, wanted, signal, true);
}

function platformIn({ platform }: Descriptor): Platform | null {
  return platform === undefined ? null : platformOf(platform);
}

async function readBlob(
  client: RegistryClient,
  { digest, size }: Descriptor,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const answer = await client.get(`blobs/${digest}`, {}, signal);
  const bytes = await limited(answer, CONFIG_LIMIT_BYTES, "configuration");
  return collect(verified(Readable.from([bytes]), { digest, sizeBytes: size }));
}

/** All of a short answer. */
async function limited(answer: Response, limitBytes: number, what: string): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of answer.body ?? []) {
    size += piece.length;
    if (size > limitBytes) {
      throw new Failure(
        "invalid_argument",
        `Cannot read the image's ${what}: it has more than ${limitBytes} bytes`,
      );
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** The layers that are on their way, some at once, in the order in which they are wanted. */
class Downloads {
  readonly #client: RegistryClient;
  readonly #spool: ImageSpool;
  readonly #layers: readonly Descriptor[];
  readonly #received: (bytes: number) => void;
  readonly #stop = new AbortController();
  readonly #paths = new Map<number, Promise<string>>();

  constructor(
    client: RegistryClient,
    spool: ImageSpool,
    layers: readonly Descriptor[],
    received: (bytes: number) => void,
  ) {
    this.#client = client;
    this.#spool = spool;
    this.#layers = layers;
    this.#received = received;
  }

  begin(places: readonly number[]): number {
    const lanes = Array.from({ length: DOWNLOADS_LIMIT }, () => Promise.resolve());
    let total = 0;
    places.forEach((place, index) => {
      const { digest, size: sizeBytes } = this.#layers[place] as Descriptor;
      total += sizeBytes;
      const path = this.#spool.newPath();
      const lane = index % DOWNLOADS_LIMIT;
      const brought = (lanes[lane] ?? Promise.resolve()).then(async () => {
        const download = { digest, sizeBytes, path, received: this.#received };
        await downloadBlob(this.#client, download, this.#stop.signal);
        return path;
      });
      this.#paths.set(place, brought);
      // One that fails is told to who takes it, and the others have no use any more.
      lanes[lane] = brought.then(
        () => undefined,
        (thrown) => this.#stop.abort(thrown),
      );
    });
    return total;
  }

  /** The bytes of one that was begun. Its file goes with them. */
  async *take(place: number): AsyncGenerator<Uint8Array> {
    const path = await this.#paths.get(place);
    if (path === undefined) throw new Failure("internal", "Internal error: a layer nobody wanted");
    yield* readKept(path);
    await this.#spool.remove(path);
  }

  async close(): Promise<void> {
    this.#stop.abort(new Failure("cancelled", "The import has ended"));
    await Promise.allSettled(this.#paths.values());
    await this.#spool.close();
  }
}
