import type { Digest } from "../image/digest.ts";

/** Digests of short texts; long streams are hashed by who reads them. */
export interface Hash {
  /** Of the text's UTF-8. */
  sha256(text: string): Digest;
}
