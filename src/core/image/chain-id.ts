import type { Digest } from "./digest.ts";

/** A layer and all below it, by their content: equal chain ids are equal trees (OCI image spec, config.md). */
export type ChainId = Digest;

/**
 * The chain id of each layer, the lowest first.
 *
 * @param diffIds Digests of the layers' plain tars, the lowest first.
 * @param sha256 Digest of a text's UTF-8.
 */
export function chainIdsOf(
  diffIds: readonly Digest[],
  sha256: (text: string) => Digest,
): readonly ChainId[] {
  const chain: ChainId[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : sha256(`${below} ${diffId}`));
  }
  return chain;
}
