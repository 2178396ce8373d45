import { bytesOf } from "../core/archive/bytes.ts";
import { Failure } from "../core/failure.ts";
import type { LayerId } from "../core/id.ts";
import type { Digest } from "../core/image/digest.ts";
import { hexOf } from "../core/image/digest.ts";
import type { Platform } from "../core/image/platform.ts";
import { type ImageName, shortName } from "../core/image/reference.ts";
import { imageTarEnd, imageTarHeader, imageTarPadding } from "../core/image/tar-header.ts";
import type { PoolName } from "../core/name.ts";
import type { UnixMs } from "../core/ports/clock.ts";
import type { Hash } from "../core/ports/hash.ts";
import type { LayerTar } from "../core/ports/layer-tar.ts";
import { formatRfc3339 } from "../core/time.ts";
import type { Layers } from "./layers.ts";

const OCI = "application/vnd.oci.image";

/** What becomes an image. */
export interface CommitRequest {
  readonly tree: { readonly pool: PoolName; readonly layer: LayerId };
  /** As people name it: `data@3f2c9a`. */
  readonly title: string;
  readonly name: ImageName;
  /** Of the snapshot. */
  readonly createdAt: UnixMs;
  readonly platform: Platform;
}

/** What {@link ImageCommits} works with. */
interface ImageCommitsParts {
  readonly layers: Layers;
  readonly layerTar: LayerTar;
  readonly hash: Hash;
}

/** Images made of what volumes hold. */
export class ImageCommits {
  readonly #parts: ImageCommitsParts;

  constructor(parts: ImageCommitsParts) {
    this.#parts = parts;
  }

  /**
   * Gives `send` the tar of an image with one layer: an OCI layout, which `docker load` takes as well. Of one snapshot and
   * name it is the same byte by byte. The tree is read twice: its digest stands before it.
   */
  write(
    request: CommitRequest,
    send: (tar: AsyncIterable<Uint8Array>) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const { layers, layerTar } = this.#parts;
    return layers.withPath(
      request.tree,
      { readOnly: true },
      (root) => send(this.#tar(request, () => layerTar.diff(root, null, signal))),
      signal,
    );
  }

  async *#tar(
    request: CommitRequest,
    diff: () => AsyncIterable<Uint8Array>,
  ): AsyncGenerator<Uint8Array> {
    const layer = await this.#parts.hash.sha256Stream(diff());
    for (const [name, text] of this.#documents(request, layer)) {
      // Names of volumes, snapshots and images are ASCII, and so is the rest.
      const bytes = bytesOf(text);
      yield* [imageTarHeader(name, bytes.length), bytes, imageTarPadding(bytes.length)];
    }
    yield imageTarHeader(blobPath(layer.digest), layer.size);
    let sent = 0;
    for await (const piece of diff()) {
      sent += piece.length;
      yield piece;
    }
    if (sent !== layer.size) {
      throw new Failure(
        "aborted",
        `Cannot commit ${request.title}: it is being written; take a snapshot, and commit that`,
      );
    }
    yield* [imageTarPadding(layer.size), imageTarEnd()];
  }

  /** All that is not the layer, by path. */
  #documents(
    { title, name, createdAt, platform }: CommitRequest,
    layer: Described,
  ): ReadonlyMap<string, string> {
    const { hash } = this.#parts;
    const created = formatRfc3339(createdAt);
    const { os, architecture, variant } = platform;
    const files = new Map<string, string>();
    const keep = (value: object): Described => {
      const text = JSON.stringify(value);
      const digest = hash.sha256(text);
      files.set(blobPath(digest), text);
      return { digest, size: text.length };
    };
    const config = keep({
      ...{ architecture, os, ...(variant !== null && { variant }), created },
      config: {},
      rootfs: { type: "layers", diff_ids: [layer.digest] },
      history: [{ created, created_by: `lagan image commit ${title}` }],
    });
    const manifest = keep({
      schemaVersion: 2,
      mediaType: `${OCI}.manifest.v1+json`,
      config: { mediaType: `${OCI}.config.v1+json`, ...config },
      layers: [{ mediaType: `${OCI}.layer.v1.tar`, ...layer }],
    });
    const annotations = {
      "io.containerd.image.name": name,
      "org.opencontainers.image.ref.name": name.slice(name.lastIndexOf(":") + 1),
    };
    const [entry] = [{ mediaType: `${OCI}.manifest.v1+json`, ...manifest, annotations }];
    const docker = {
      Config: blobPath(config.digest),
      RepoTags: [shortName(name)],
      Layers: [blobPath(layer.digest)],
    };
    return new Map([
      ["oci-layout", JSON.stringify({ imageLayoutVersion: "1.0.0" })],
      ["index.json", JSON.stringify({ schemaVersion: 2, manifests: [entry] })],
      ["manifest.json", JSON.stringify([docker])],
      ...files,
    ]);
  }
}

interface Described {
  readonly digest: Digest;
  readonly size: number;
}

function blobPath(digest: Digest): string {
  return `blobs/sha256/${hexOf(digest)}`;
}
