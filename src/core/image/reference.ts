import { Failure } from "../failure.ts";
import { quote } from "../name.ts";
import { type Digest, isDigest } from "./digest.ts";

declare const imageNameBrand: unique symbol;

/** A name with its registry, and a tag: `docker.io/library/app:1`. Made only by {@link imageNameOf}. */
export type ImageName = string & { readonly [imageNameBrand]: "ImageName" };

/**
 * What people type for an image, with Docker's defaults filled in (github.com/distribution/reference, `normalize.go` and
 * `regexp.go`, v0.6).
 */
export interface Reference {
  /** Host, and port when there is one: `docker.io`, `localhost:5000`, `[::1]:5000`. */
  readonly registry: string;
  /** Path within it: `library/app`. */
  readonly repository: string;
  /** Null only when there is a digest. */
  readonly tag: string | null;
  readonly digest: Digest | null;
}

/** The registry of names without one. */
export const DEFAULT_REGISTRY = "docker.io";
/** Longest repository, in characters. */
export const REPOSITORY_LIMIT = 255;
/** Longest registry, in characters: a host name of DNS and a port. */
export const REGISTRY_LIMIT = 261;

const DEFAULT_TAG = "latest";
const OFFICIAL = "library/";
const HOST_PART = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
const REGISTRY = new RegExp(
  `^(?:${HOST_PART}(?:\\.${HOST_PART})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`,
);
const PATH_PART = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const REPOSITORY = new RegExp(`^${PATH_PART}(?:/${PATH_PART})*$`);
const TAG = /^[\w][\w.-]{0,127}$/;

/**
 * Reads `app`, `app:1`, `host:5000/team/app:1` or `app@sha256:…` as Docker does.
 *
 * @throws {Failure} `invalid_argument` saying which rule it breaks.
 */
export function parseReference(text: string): Reference {
  const refuse = (why: string): Failure =>
    new Failure("invalid_argument", `Cannot use ${quote(text)} as the name of an image: ${why}`);
  if (/^[0-9a-f]{64}$/.test(text)) throw refuse("64 hex digits are an image's id, not a name");
  const at = text.indexOf("@");
  const digest = at < 0 ? null : text.slice(at + 1);
  if (digest !== null && !isDigest(digest)) throw refuse("what follows @ must be a digest");
  const named = at < 0 ? text : text.slice(0, at);
  const slash = named.lastIndexOf("/");
  const colon = named.indexOf(":", slash + 1);
  const tag = colon < 0 ? null : named.slice(colon + 1);
  const { registry, repository } = splitRegistry(colon < 0 ? named : named.slice(0, colon));
  if (repository === "" || registry === "") throw refuse("give NAME, NAME:TAG or HOST/NAME:TAG");
  if (!REGISTRY.test(registry) || registry.length > REGISTRY_LIMIT) {
    throw refuse("what stands before the first / must be a host, and perhaps a port");
  }
  if (/[A-Z]/.test(repository)) throw refuse("the repository must be lower case");
  if (repository.length > REPOSITORY_LIMIT) {
    throw refuse(`the repository has more than ${REPOSITORY_LIMIT} characters`);
  }
  if (!REPOSITORY.test(repository)) {
    throw refuse('use lower-case letters and digits, and "." "_" "__" "-" and "/" between them');
  }
  if (tag !== null && !TAG.test(tag)) {
    throw refuse('a tag has letters, digits, "_", "." and "-", at most 128 of them');
  }
  return { registry, repository, digest, tag: tag ?? (digest === null ? DEFAULT_TAG : null) };
}

/** Docker's rule: what stands before the first slash is a host when it cannot be a repository's part. */
function splitRegistry(name: string): Pick<Reference, "registry" | "repository"> {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const isHost = /[.:A-Z]/.test(first) || first === "localhost";
  const registry = isHost && first !== "index.docker.io" ? first : DEFAULT_REGISTRY;
  const repository = isHost ? name.slice(slash + 1) : name;
  const official = registry === DEFAULT_REGISTRY && repository !== "" && !repository.includes("/");
  return { registry, repository: official ? OFFICIAL + repository : repository };
}

/** The whole name; undefined for a reference without a tag. */
export function imageNameOf({ registry, repository, tag }: Reference): ImageName | undefined {
  return tag === null ? undefined : (`${registry}/${repository}:${tag}` as ImageName);
}

/** As people type it: without what Docker adds by itself. */
export function formatReference({ registry, repository, tag, digest }: Reference): string {
  const official = repository.startsWith(OFFICIAL) && !repository.slice(8).includes("/");
  const path =
    registry !== DEFAULT_REGISTRY
      ? `${registry}/${repository}`
      : official
        ? repository.slice(OFFICIAL.length)
        : repository;
  return `${path}${tag === null ? "" : `:${tag}`}${digest === null ? "" : `@${digest}`}`;
}

/** The same for a whole name. */
export function shortName(name: ImageName): string {
  return formatReference(parseReference(name));
}
