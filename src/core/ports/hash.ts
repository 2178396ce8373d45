import type { Digest } from "../image/digest.ts";

/** Digests. */
export interface Hash {
  /** Of the text's UTF-8. */
  sha256(text: string): Digest;
  /** Of a stream, which is read to its end, and its length in bytes. */
  sha256Stream(
    bytes: AsyncIterable<Uint8Array>,
  ): Promise<{ readonly digest: Digest; readonly size: number }>;
}
