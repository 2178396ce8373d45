import { Failure } from "../failure.ts";
import type { LayerId } from "../id.ts";
import { type PoolName, quote } from "../name.ts";
import type { LayerKind } from "../ports/storage-driver.ts";

declare const brand: unique symbol;

/**
 * Identity of a committed layer's content with all that it stands on, as the OCI image spec defines it: `sha256:` and 64
 * hex digits. Made only by {@link parseChainId}.
 */
export type ChainId = string & { readonly [brand]: "ChainId" };

/** A door by which layers are kept. */
export type Face = "containerd" | "docker" | "image";

/**
 * One who keeps a layer: a snapshot of containerd, a layer of Docker's graph, a layer of an image. `face` and `key`
 * together are its identity; a key may be long and hold any text.
 */
export interface Holder {
  readonly face: Face;
  readonly key: string;
}

/** A layer that is kept. */
export interface KeptLayer {
  readonly id: LayerId;
  readonly pool: PoolName;
  readonly kind: LayerKind;
  readonly parent: LayerId | null;
  /** Most bytes of its content; null: no limit. */
  readonly sizeBytes: number | null;
  /** Of a committed layer whose content has that identity; null: not known. */
  readonly chainId: ChainId | null;
  /** Of a committed layer: the active one that it was. */
  readonly from: LayerId | null;
  /** Of a committed layer to which nothing was added: a power cut may take it, and it is made again from its parent. */
  readonly untouched?: true;
}

/** A holder and what it holds. */
export interface Hold {
  readonly holder: Holder;
  readonly layer: LayerId;
  readonly pool: PoolName;
  readonly kind: LayerKind;
  readonly parent: LayerId | null;
  readonly chainId: ChainId | null;
  /** What the face keeps with it: JSON of its own. */
  readonly data: unknown;
}

/** @throws {Failure} `invalid_argument` when `text` is no chain id. */
export function parseChainId(text: string): ChainId {
  if (isChainId(text)) return text;
  throw new Failure(
    "invalid_argument",
    `Cannot use ${quote(text)} as a chain id: it is not "sha256:" and 64 hex digits`,
  );
}

/** True when `text` has the form of a chain id. */
export function isChainId(text: string): text is ChainId {
  return /^sha256:[0-9a-f]{64}$/.test(text);
}

/** A holder for a message. */
export function describeHolder({ face, key }: Holder): string {
  return `${face} ${quote(key)}`;
}
