import { createHash } from "node:crypto";
import type { RunningDigest } from "../core/ports/digest.ts";

/** A sha256 by OpenSSL. */
export function hostSha256(): RunningDigest {
  const hash = createHash("sha256");
  return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest("hex") };
}
