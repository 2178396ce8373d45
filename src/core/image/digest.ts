import { Failure } from "../failure.ts";
import { quote } from "../name.ts";

declare const digestBrand: unique symbol;

/**
 * What names content by the content: `sha256:` and 64 hex digits, or `sha512:` and 128 (OCI image spec, descriptor.md).
 * Made only by {@link parseDigest}.
 */
export type Digest = string & { readonly [digestBrand]: "Digest" };

/** The algorithms of {@link Digest}. */
export type DigestAlgorithm = "sha256" | "sha512";

const DIGEST = /^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;
/** How many hex digits people see. */
const SHORT_DIGITS = 12;

/** True when `text` is a digest. */
export function isDigest(text: string): text is Digest & string {
  return DIGEST.test(text);
}

/** @throws {Failure} `invalid_argument` when `text` is no digest, or one of another algorithm. */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new Failure(
    "invalid_argument",
    `Cannot use ${quote(text)} as a digest: give sha256: and 64 digits of 0 to 9 and a to f`,
  );
}

/** Of what `digest` is. */
export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.startsWith("sha512:") ? "sha512" : "sha256";
}

/** The digits. */
export function hexOf(digest: Digest): string {
  return digest.slice(digest.indexOf(":") + 1);
}

/** The first digits, for people. */
export function shortDigest(digest: Digest): string {
  return hexOf(digest).slice(0, SHORT_DIGITS);
}
