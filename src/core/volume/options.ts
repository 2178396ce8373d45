import { Failure } from "../failure.ts";
import { parseRef, type Ref } from "../history/ref.ts";
import { parseReference } from "../image/reference.ts";
import {
  type PoolName,
  type ProfileName,
  parsePoolName,
  parseProfileName,
  quote,
} from "../name.ts";
import { type Keep, parseKeep } from "../schedule/keep.ts";
import { parseEvery } from "../schedule/schedule.ts";
import { parseSizeBytes } from "../size.ts";
import type { Labels } from "./volume.ts";

/** What one request for a new volume says, before profile and defaults are added. Absent: not said. */
export interface VolumeOptions {
  readonly sizeBytes?: number;
  readonly pool?: PoolName;
  readonly profile?: ProfileName;
  readonly uid?: number;
  readonly gid?: number;
  readonly mode?: number;
  readonly protect?: boolean;
  /** How often a snapshot is taken; null: never, whatever the profile says. */
  readonly everyMs?: number | null;
  /** Which of those stay. */
  readonly keep?: Keep;
  /** What it starts from: a snapshot, or what a volume holds now. */
  readonly from?: Ref;
  /** What it starts from: an image. */
  readonly fromImage?: string;
  /** Which directory of it, without slashes at its ends; empty: its root. */
  readonly fromImagePath?: string;
  /** It is to be a block device; a clone is what it starts from is. */
  readonly block?: boolean;
  readonly labels: Labels;
}

/** Most labels of one volume. */
export const LABEL_LIMIT = 64;
/** Longest label key, in characters. */
export const LABEL_KEY_LIMIT = 128;
/** Longest label value, in characters. */
export const LABEL_VALUE_LIMIT = 4096;
/** Longest path in an image, in characters. */
const IMAGE_PATH_LIMIT = 4000;

/** Every option, in the order in which help and messages list them. */
export const VOLUME_OPTION_NAMES = [
  "size",
  "pool",
  "profile",
  "uid",
  "gid",
  "mode",
  "protect",
  "schedule",
  "keep",
  "from",
  "from-image",
  "from-image-path",
  "label.KEY",
] as const;

const LABEL_KEY = /^[a-zA-Z0-9]([a-zA-Z0-9_./-]*[a-zA-Z0-9])?$/;
const LABEL_PREFIX = "label.";
const ID_MAX = 4_294_967_294;

/**
 * Reads creation options as `docker volume create -o KEY=VALUE` gives them.
 *
 * @throws {Failure} `invalid_argument` for an unknown option or a value of the wrong form (and
 * `out_of_range` for a size out of range), naming the option and what is allowed.
 */
export function parseVolumeOptions(options: Readonly<Record<string, string>>): VolumeOptions {
  const labels: [string, string][] = [];
  let parsed: Omit<VolumeOptions, "labels"> = {};
  for (const [key, value] of Object.entries(options)) {
    if (key.startsWith(LABEL_PREFIX)) {
      labels.push([key.slice(LABEL_PREFIX.length), value]);
    } else {
      parsed = { ...parsed, ...parseOption(key, value) };
    }
  }
  // From entries: an assignment to `labels.__proto__` would be lost without a word.
  return { ...parsed, labels: parseLabels(Object.fromEntries(labels)) };
}

function parseOption(key: string, value: string): Omit<VolumeOptions, "labels"> {
  switch (key) {
    case "size":
      return { sizeBytes: parseSizeBytes(value) };
    case "pool":
      return { pool: parsePoolName(value) };
    case "profile":
      return { profile: parseProfileName(value) };
    case "uid":
      return { uid: parseOwnerId("uid", value) };
    case "gid":
      return { gid: parseOwnerId("gid", value) };
    case "mode":
      return { mode: parseMode(value) };
    case "protect":
      return { protect: parseBoolean("protect", value) };
    case "schedule":
      return { everyMs: parseEvery(value) };
    case "keep":
      return { keep: parseKeep(value) };
    case "from":
      return { from: parseRef(value) };
    case "from-image":
      return { fromImage: parseImageText(value) };
    case "from-image-path":
      return { fromImagePath: parseImagePath(value) };
    case "branch":
      throw new Failure(
        "invalid_argument",
        'Cannot use option "branch": a branch is used by its name: make it by "lagan branch create VOLUME BRANCH" (for Docker: -o branch=BRANCH with the name VOLUME@BRANCH), then use VOLUME@BRANCH wherever a volume can be',
      );
    default:
      throw new Failure(
        "invalid_argument",
        `Cannot use option ${quote(key)}: it is unknown; allowed are ${VOLUME_OPTION_NAMES.join(", ")}`,
      );
  }
}

/** A name, or an id or its beginning. */
function parseImageText(value: string): string {
  if (!/^(sha256:)?[0-9a-f]{4,64}$/.test(value)) parseReference(value);
  return value;
}

function parseImagePath(value: string): string {
  const parts = value.split("/").filter((part) => part !== "" && part !== ".");
  if (!parts.includes("..") && !value.includes("\0") && value.length <= IMAGE_PATH_LIMIT) {
    return parts.join("/");
  }
  throw refusedValue("from-image-path", value, 'a path in the image, without ".."');
}

function parseOwnerId(key: string, value: string): number {
  const id = /^\d{1,10}$/.test(value) ? Number(value) : Number.NaN;
  if (!(id <= ID_MAX)) throw refusedValue(key, value, `a number from 0 to ${ID_MAX}`);
  return id;
}

function parseMode(value: string): number {
  if (!/^[0-7]{3,5}$/.test(value) || Number.parseInt(value, 8) > 0o7777) {
    throw refusedValue("mode", value, "octal permission bits such as 0755 or 2770");
  }
  return Number.parseInt(value, 8);
}

function parseBoolean(key: string, value: string): boolean {
  if (value === "true" || value === "1" || value === "") return true;
  if (value === "false" || value === "0") return false;
  throw refusedValue(key, value, "true or false");
}

function refusedValue(key: string, value: string, allowed: string): Failure {
  return new Failure("invalid_argument", `Cannot use ${key}=${quote(value)}: give ${allowed}`);
}

/**
 * Checks labels: at most {@link LABEL_LIMIT}; keys of letters, digits, `_`, `.`, `/` and `-` with a letter
 * or digit at both ends; any values without control characters.
 *
 * @throws {Failure} `invalid_argument` naming the label and the rule.
 */
export function parseLabels(labels: Readonly<Record<string, string>>): Labels {
  const entries = Object.entries(labels);
  if (entries.length > LABEL_LIMIT) {
    throw new Failure(
      "invalid_argument",
      `Cannot set ${entries.length} labels: at most ${LABEL_LIMIT} are allowed`,
    );
  }
  for (const [key, value] of entries) {
    if (!LABEL_KEY.test(key) || key.length > LABEL_KEY_LIMIT) {
      throw new Failure(
        "invalid_argument",
        `Cannot use ${quote(key)} as a label: use letters, digits, "_", ".", "/" and "-", a letter or digit at both ends, at most ${LABEL_KEY_LIMIT} characters`,
      );
    }
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused.
    if (value.length > LABEL_VALUE_LIMIT || /[\u0000-\u001f\u007f]/.test(value)) {
      throw new Failure(
        "invalid_argument",
        `Cannot use the value of label ${quote(key)}: at most ${LABEL_VALUE_LIMIT} characters and no control characters are allowed`,
      );
    }
  }
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * Labels after a change: a null value takes the label away, the others are added or replaced.
 *
 * @throws {Failure} as {@link parseLabels}.
 */
export function mergeLabels(
  labels: Labels,
  change: Readonly<Record<string, string | null>>,
): Labels {
  const merged = Object.entries({ ...labels, ...change });
  return parseLabels(
    Object.fromEntries(merged.flatMap(([key, value]) => (value === null ? [] : [[key, value]]))),
  );
}
