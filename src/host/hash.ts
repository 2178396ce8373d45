import { createHash } from "node:crypto";
import type { Digest } from "../core/image/digest.ts";
import type { Hash } from "../core/ports/hash.ts";

/** Digests by OpenSSL. */
export const hostHash: Hash = {
  sha256Stream: async (bytes) => {
    const hash = createHash("sha256");
    let size = 0;
    for await (const piece of bytes) {
      hash.update(piece);
      size += piece.length;
    }
    return { digest: `sha256:${hash.digest("hex")}` as Digest, size };
  },
  sha256: (text) => `sha256:${createHash("sha256").update(text).digest("hex")}` as Digest,
};
