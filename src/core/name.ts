import { Failure } from "./failure.ts";

declare const volumeBrand: unique symbol;
declare const poolBrand: unique symbol;
declare const profileBrand: unique symbol;

/**
 * A volume's name. Docker's own rule, so that every name that Docker's `local` driver takes
 * works here: a letter or digit, then letters, digits, `_`, `.` and `-`; 2 to 128 characters.
 * `@` and `/` never occur: they separate snapshots and branches. Made only by {@link parseVolumeName}.
 */
export type VolumeName = string & { readonly [volumeBrand]: "VolumeName" };
/** A pool's name: lower-case letters, digits and `-`, 1 to 63 characters. */
export type PoolName = string & { readonly [poolBrand]: "PoolName" };
/** A profile's name: the same rule as a pool's. */
export type ProfileName = string & { readonly [profileBrand]: "ProfileName" };

/** Longest volume name, in characters (all of them are ASCII, so in bytes too). */
export const VOLUME_NAME_LIMIT = 128;

const VOLUME_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
const LABEL_NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** @throws {Failure} `invalid_argument` when `text` is not a volume name; says which rule it breaks. */
export function parseVolumeName(text: string): VolumeName {
  const why = faultOfVolumeName(text);
  if (why !== undefined) {
    throw new Failure("invalid_argument", `Cannot use ${quote(text)} as a volume name: ${why}`);
  }
  return text as VolumeName;
}

function faultOfVolumeName(text: string): string | undefined {
  if (text.length < 2) return "it needs at least 2 characters";
  if (text.length > VOLUME_NAME_LIMIT) {
    return `it has ${text.length} characters, at most ${VOLUME_NAME_LIMIT} are allowed`;
  }
  if (/[@/]/.test(text)) {
    return 'it names the volume itself; "@" and "/" are reserved for snapshots and branches';
  }
  if (!VOLUME_NAME.test(text)) {
    return 'use a letter or digit first, then only letters, digits, "_", "." and "-"';
  }
  return undefined;
}

/** @throws {Failure} `invalid_argument` when `text` is not a pool name. */
export function parsePoolName(text: string): PoolName {
  return parseLabelName(text, "pool") as PoolName;
}

/** @throws {Failure} `invalid_argument` when `text` is not a profile name. */
export function parseProfileName(text: string): ProfileName {
  return parseLabelName(text, "profile") as ProfileName;
}

function parseLabelName(text: string, noun: string): string {
  if (!LABEL_NAME.test(text)) {
    throw new Failure(
      "invalid_argument",
      `Cannot use ${quote(text)} as a ${noun} name: use lower-case letters, digits and "-" (not at either end), at most 63 characters`,
    );
  }
  return text;
}

/** `text` in quotation marks for a message: control and other odd characters escaped, cut at 80 characters. */
export function quote(text: string): string {
  const cut = text.length > 80 ? `${text.slice(0, 80)}…` : text;
  const escaped = JSON.stringify(cut).replace(
    /[\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff0-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return escaped;
}
