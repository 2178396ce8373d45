import { Failure } from "../../core/failure.ts";
import { isId, type VolumeId } from "../../core/id.ts";
import { quote } from "../../core/name.ts";

/** Longest text of a field, in bytes of UTF-8; longest map, all keys and values together (the specification's limits). */
const TEXT_LIMIT_BYTES = 128;
const MAP_LIMIT_BYTES: number = 4 * 1024;
/** Longest path, in bytes: it is a part of a key of the store. */
const PATH_LIMIT_BYTES = 900;
/** What no name may hold (the specification, "Size limits" and names). */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused.
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/;
const SECRET_KEY = /^[a-zA-Z0-9._-]+$/;

/** Texts by name, as the wire has them. */
export type Pairs = Readonly<Record<string, string>>;

/** A text that must be there. @throws {Failure} `invalid_argument` naming the field. */
export function needed(field: string, text: string): string {
  if (text === "") throw refused(field, "it is missing");
  if (Buffer.byteLength(text) > TEXT_LIMIT_BYTES) {
    throw refused(field, `it is longer than ${TEXT_LIMIT_BYTES} bytes`);
  }
  if (CONTROL.test(text)) throw refused(field, "it has control characters");
  return text;
}

/** The id of a volume; null: a text that no volume of ours has as its id. @throws {Failure} as {@link needed}. */
export function neededId(field: string, text: string): VolumeId | null {
  const id = needed(field, text);
  return isId(id) ? (id as VolumeId) : null;
}

/** An absolute path without detours. @throws {Failure} `invalid_argument`. */
export function neededPath(field: string, path: string): string {
  if (path === "") throw refused(field, "it is missing");
  if (Buffer.byteLength(path) > PATH_LIMIT_BYTES) {
    throw refused(field, `it is longer than ${PATH_LIMIT_BYTES} bytes`);
  }
  if (CONTROL.test(path) || path.includes("\n")) throw refused(field, "it has control characters");
  if (!path.startsWith("/")) throw refused(field, "it is not absolute");
  const parts = path.split("/");
  if (parts.includes("..") || parts.includes(".")) {
    throw refused(field, 'it has "." or ".." in it');
  }
  const plain = `/${parts.filter((part) => part !== "").join("/")}`;
  if (plain === "/") throw refused(field, "it is the root directory");
  return plain;
}

/** A map within the limits. @throws {Failure} `invalid_argument`. */
export function checkedMap(field: string, map: Pairs): Pairs {
  let bytes = 0;
  for (const [key, value] of Object.entries(map)) {
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (bytes > MAP_LIMIT_BYTES) throw refused(field, `it is larger than ${MAP_LIMIT_BYTES} bytes`);
  return map;
}

/** Secrets are used for nothing here, and shown to nobody; what cannot be one is refused. @throws {Failure} likewise. */
export function checkSecrets(secrets: Pairs): void {
  checkedMap("secrets", secrets);
  if (Object.keys(secrets).every((key) => SECRET_KEY.test(key))) return;
  throw refused(
    "secrets",
    'a key of it has other characters than letters, digits, ".", "_" and "-"',
  );
}

/** A number of entries, and where to begin. @throws {Failure} `invalid_argument`; `aborted` for a token of another's. */
export function page(
  maxEntries: number,
  startingToken: string,
): { readonly limit: number; readonly after: string } {
  if (maxEntries < 0) throw refused("max_entries", "it is negative");
  if (startingToken !== "" && !/^[0-9a-f-]{36}(@[0-9a-f-]{36})?$/.test(startingToken)) {
    throw new Failure(
      "aborted",
      `Cannot go on with the listing: starting_token ${quote(startingToken)} is none of ours; begin again without one`,
    );
  }
  return {
    limit: maxEntries === 0 ? PAGE_LIMIT : Math.min(maxEntries, PAGE_LIMIT),
    after: startingToken,
  };
}

/** Most entries of one answer, which keeps it well below gRPC's own limit of 4 MiB. */
const PAGE_LIMIT = 2_000;

/** One page of what is sorted by `idOf`, and the token of the next. */
export function paged<T>(
  all: readonly T[],
  idOf: (item: T) => string,
  { limit, after }: { readonly limit: number; readonly after: string },
): { readonly entries: readonly T[]; readonly nextToken: string } {
  const rest = all
    .filter((item) => idOf(item) > after)
    .sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1));
  const entries = rest.slice(0, limit);
  const last = entries.at(-1);
  return { entries, nextToken: rest.length > limit && last !== undefined ? idOf(last) : "" };
}

/** For a field that cannot be taken. */
export function refused(field: string, why: string): Failure {
  return new Failure("invalid_argument", `Cannot use ${field}: ${why}`);
}
