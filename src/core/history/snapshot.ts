import { Failure } from "../failure.ts";
import type { LayerId, SnapshotId, VolumeId } from "../id.ts";
import { quote } from "../name.ts";
import type { UnixMs } from "../ports/clock.ts";
import type { Labels, Protection } from "../volume/volume.ts";

declare const snapshotNameBrand: unique symbol;

/**
 * A name within one volume's history, of a snapshot or a branch: a letter, then letters, digits, `_`, `.` and `-`, 1 to
 * 63 characters; not hexadecimal digits alone, so that it is never taken for an id. Made only by {@link parsePointName}.
 */
export type PointName = string & { readonly [snapshotNameBrand]: "PointName" };

/** Longest name of a snapshot or branch, in characters. */
export const POINT_NAME_LIMIT = 63;
/** Longest message of a snapshot, in characters. */
export const MESSAGE_LIMIT = 4096;
/** Longest name of an author, in characters. */
export const AUTHOR_LIMIT = 128;
/** How many hexadecimal digits of a snapshot's id people see. */
const SHORT_ID_DIGITS = 12;

/** Why a snapshot was taken. */
export type SnapshotCause = "asked" | "scheduled" | "restore" | "clone";

/**
 * What its content is: of one instant (`atomic`, or `frozen` when the file system was frozen for it); of an instant
 * when nobody wrote (`unused`, `stopped`, `paused`); or each file as it was when its turn came (`per-file`).
 */
export type Consistency = "atomic" | "frozen" | "per-file" | "unused" | "stopped" | "paused";

/**
 * Where a snapshot stands. Only `ready` ones are shown.
 * `creating` → `ready` ⇄ `trashed` → `removing` → gone.
 */
export type SnapshotState =
  | { readonly state: "creating" }
  | { readonly state: "ready" }
  | { readonly state: "trashed"; readonly trashedAt: UnixMs; readonly expiresAt: UnixMs | null }
  | { readonly state: "removing" };

/** An immutable point of a volume's history. */
export interface Snapshot {
  readonly id: SnapshotId;
  /** The volume, or the branch, that it was taken of. */
  readonly volume: VolumeId;
  /** The committed layer that holds it. */
  readonly layer: LayerId;
  /** What the head stood on when it was taken: the snapshot before, or the one that was restored or cloned. */
  readonly parent: SnapshotId | null;
  readonly name: PointName | null;
  readonly message: string;
  readonly labels: Labels;
  /** Who asked for it, as the client says. */
  readonly author: string;
  readonly createdAt: UnixMs;
  readonly cause: SnapshotCause;
  readonly consistency: Consistency;
  /** Name that snapshots taken together share. */
  readonly group: PointName | null;
  /** Refuses removal while set. */
  readonly protection: Protection | null;
  readonly status: SnapshotState;
}

/** What people see and type of a snapshot's id: its last 12 digits. The first ones are a time, alike for neighbors. */
export function shortId(id: SnapshotId): string {
  return id.slice(-SHORT_ID_DIGITS);
}

/** @throws {Failure} `invalid_argument` saying which rule `text` breaks. */
export function parsePointName(text: string, noun: "snapshot" | "branch" | "group"): PointName {
  const why = faultOf(text);
  if (why === undefined) return text as PointName;
  throw new Failure("invalid_argument", `Cannot use ${quote(text)} as a ${noun} name: ${why}`);
}

function faultOf(text: string): string | undefined {
  if (text.length > POINT_NAME_LIMIT) {
    return `it has ${text.length} characters, at most ${POINT_NAME_LIMIT} are allowed`;
  }
  if (!/^[a-zA-Z][a-zA-Z0-9_.-]*$/.test(text)) {
    return 'use a letter first, then only letters, digits, "_", "." and "-"';
  }
  if (/^[0-9a-fA-F]+$/.test(text)) return "it could be taken for an id; use another letter too";
  return undefined;
}

/** @throws {Failure} `invalid_argument` for control characters other than a line's end, or too long a text. */
export function parseMessage(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused.
  if (text.length <= MESSAGE_LIMIT && !/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/.test(text)) {
    return text;
  }
  throw new Failure(
    "invalid_argument",
    `Cannot use the message: at most ${MESSAGE_LIMIT} characters and no control characters are allowed`,
  );
}

/** Who asks, as a client says; what cannot be shown is left out, and nothing at all is `unknown`. */
export function parseAuthor(text: string): string {
  const shown = text.replace(/[^\p{L}\p{N} _.@:+-]/gu, "").slice(0, AUTHOR_LIMIT);
  return shown === "" ? "unknown" : shown;
}
