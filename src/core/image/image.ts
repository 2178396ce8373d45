import type { PoolName } from "../name.ts";
import type { UnixMs } from "../ports/clock.ts";
import type { ChainId } from "./chain-id.ts";
import type { Digest } from "./digest.ts";
import type { ImageName } from "./reference.ts";

/** How a container of the image is to run, as far as people ask for it. */
export interface ImageConfig {
  readonly user: string;
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workingDir: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Paths that want a volume. */
  readonly volumes: readonly string[];
  readonly ports: readonly string[];
}

/** One step of how the image was made. */
export interface ImageStep {
  /** RFC 3339 as it came, or empty. */
  readonly created: string;
  readonly createdBy: string;
  readonly comment: string;
  /** It made no layer. */
  readonly empty: boolean;
}

/** What an image says of itself: parsed from its configuration. */
export interface ImageFacts {
  /** Digest of the configuration, which is what Docker calls an image's id. */
  readonly id: Digest;
  /** Of the manifest that it came by; null: an archive without one. */
  readonly manifest: Digest | null;
  readonly os: string;
  readonly architecture: string;
  readonly variant: string | null;
  /** When it was made, as it says; null: it does not. */
  readonly createdAt: UnixMs | null;
  readonly config: ImageConfig;
  readonly history: readonly ImageStep[];
}

/** A layer of an image that is here. */
export interface ImageLayer {
  readonly chainId: ChainId;
  /** Digest of its plain tar. */
  readonly diffId: Digest;
  /** Bytes of the content that it adds, as its tar had them. */
  readonly sizeBytes: number;
}

/** The record of an image whose layers are here. Its names are records of their own. */
export interface Image extends ImageFacts {
  readonly pool: PoolName;
  /** The lowest first. */
  readonly layers: readonly ImageLayer[];
  readonly importedAt: UnixMs;
}

/** An image with its names, sorted. */
export interface NamedImage extends Image {
  readonly names: readonly ImageName[];
}
