import { createHash } from "node:crypto";
import { Failure } from "../core/failure.ts";
import { algorithmOf, type Digest, hexOf } from "../core/image/digest.ts";
import { ArchiveInput } from "./archive-input.ts";

/** What a blob has to be. */
export interface Expected {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** The same bytes; breaks off with `data_loss` at their end when they are not what was expected. */
export async function* verified(
  bytes: AsyncIterable<Uint8Array>,
  { digest, sizeBytes }: Expected,
): AsyncGenerator<Uint8Array> {
  const hash = createHash(algorithmOf(digest));
  let seen = 0;
  for await (const piece of bytes) {
    seen += piece.length;
    if (seen > sizeBytes) throw damaged(digest, `it has more than its ${sizeBytes} bytes`);
    hash.update(piece);
    yield piece;
  }
  if (seen < sizeBytes) throw damaged(digest, `it has ${seen} of its ${sizeBytes} bytes`);
  if (hash.digest("hex") !== hexOf(digest)) throw damaged(digest, "its content is another");
}

/** All of a small blob, verified. */
export async function collect(bytes: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of bytes) pieces.push(piece);
  return Buffer.concat(pieces);
}

/**
 * The plain tar of a layer, plain or compressed by gzip or zstd as it comes; breaks off with `data_loss` at its end when
 * the plain tar is not what `diffId` says.
 */
export async function* plainLayer(
  packed: AsyncIterable<Uint8Array>,
  diffId: Digest,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const hash = createHash(algorithmOf(diffId));
  for await (const piece of new ArchiveInput(packed, signal).plain()) {
    hash.update(piece);
    yield piece;
  }
  if (hash.digest("hex") !== hexOf(diffId)) throw damaged(diffId, "its content is another");
}

function damaged(digest: Digest, why: string): Failure {
  return new Failure("data_loss", `Cannot use the blob ${digest}: ${why}; bring the image again`);
}
