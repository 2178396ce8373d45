import { createHash } from "node:crypto";
import type { Digest } from "../core/image/digest.ts";
import type { Hash } from "../core/ports/hash.ts";

/** Digests by OpenSSL. */
export const hostHash: Hash = {
  sha256: (text) => `sha256:${createHash("sha256").update(text).digest("hex")}` as Digest,
};
