import type { Digest } from "../image/digest.ts";
import type { ImageFacts } from "../image/image.ts";
import type { Platform } from "../image/platform.ts";
import type { ImageName, Reference } from "../image/reference.ts";

/** An image that lies elsewhere: in an archive that came in, or at a registry. */
export interface ForeignImage {
  readonly facts: ImageFacts;
  /** Names that came with it; a registry's image has that which was asked for. */
  readonly names: readonly ImageName[];
  /** Of the plain tars of its layers, the lowest first. */
  readonly diffIds: readonly Digest[];
  /**
   * Says which layers will be asked for, by their place, in that order: they can be brought while others are worked on.
   * Answers the bytes that this is, packed as they are.
   */
  want(places: readonly number[]): number;
  /**
   * The plain tar of a layer; once. A tar that is not what its digests say breaks off with `data_loss`, at its end at the
   * latest: what was made of it is worthless then.
   */
  layer(place: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

/** What was opened; `close` removes all that was kept for it. */
export interface ImageSource {
  readonly images: readonly ForeignImage[];
  close(): Promise<void>;
}

/** How to log in to a registry. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
  /** In place of both: a token that is exchanged for others (OAuth 2). */
  readonly identityToken?: string;
}

/** How a source is opened. */
export interface OpenOptions {
  /** Which image of those for several; null: that of this machine. */
  readonly platform: Platform | null;
  /** Hears of bytes as they come in. */
  readonly received: (bytes: number) => void;
}

/**
 * Where images come from. Held by `tests/real/image-sources.test.ts`.
 *
 * 1. What is brought is verified: manifests, configurations and layers are what their digests say, or `data_loss`.
 * 2. Documents of a wrong form: `invalid_argument`; what is not supported: `unimplemented`; no image for the platform:
 *    `not_found`, naming those that there are.
 * 3. What is kept meanwhile lies in a directory of ours and is gone after `close`; after a crash `clear` removes it.
 * 4. An abort rejects with `signal.reason`.
 */
export interface ImageSources {
  /** An OCI layout or what `docker save` writes, as a tar, plain or compressed by gzip or zstd. Reads all of it. */
  fromArchive(
    tar: AsyncIterable<Uint8Array>,
    options: OpenOptions,
    signal: AbortSignal,
  ): Promise<ImageSource>;
  /**
   * A registry's. `unauthenticated` or `permission_denied` when it wants other credentials, `not_found` when it has none
   * of that name, `unavailable` when it does not answer, after some attempts.
   */
  fromRegistry(
    reference: Reference,
    options: OpenOptions & { readonly credentials: Credentials | null },
    signal: AbortSignal,
  ): Promise<ImageSource>;
  /** Removes what was kept for sources that nobody closed. Only while none is open. */
  clear(): Promise<void>;
}
