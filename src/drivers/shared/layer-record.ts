import { Failure } from "../../core/failure.ts";
import { isId, type LayerId } from "../../core/id.ts";
import type { LayerInfo } from "../../core/ports/storage-driver.ts";

/** Name of the file beside a layer's content that says what the layer is. */
export const RECORD_FILE = "layer.json";
/** Name of the directory that is a layer's root: beside our own files, so that an empty layer is empty. */
export const CONTENT_DIRECTORY = "_data";

/**
 * What `layer.json` says. A layer is committed when its record names the layer's own id in `committedAs`:
 * so the rename from the active id to the committed one is the one instant at which a commit happens.
 */
export interface LayerRecord {
  readonly kind: "active" | "view";
  readonly parent: LayerId | null;
  readonly sizeBytes: number | null;
  /** The id under which this is, or is about to be, committed. */
  readonly committedAs: LayerId | null;
  /** The active layer that it was committed or snapshotted from. */
  readonly committedFrom: LayerId | null;
  /** Name of the directory with its content, for a driver that keeps that elsewhere. */
  readonly content?: string;
  /** Directory below the content that is the layer's root; absent: the content itself. */
  readonly root?: string;
  /** It was made before its caller had surely recorded it (`LayerInfo.ahead`). */
  readonly ahead?: true;
  /** A snapshot of it that is to get a record of its own: until then this one stands for both. */
  readonly snapshot?: PendingSnapshot;
}

/** A snapshot as the record of the layer tells of it from which it is being made. */
export interface PendingSnapshot {
  readonly as: LayerId;
  readonly parent: LayerId | null;
  readonly content: string;
}

/** The record of a new active layer without parent or limit. */
export const NEW_RECORD: LayerRecord = {
  kind: "active",
  parent: null,
  sizeBytes: null,
  committedAs: null,
  committedFrom: null,
};

/** The text of `layer.json`. */
export function formatLayerRecord(record: LayerRecord): string {
  return `${JSON.stringify({ format: 1, ...record })}\n`;
}

/** @throws {Failure} `data_loss` when `text` is not the record of layer `id`. */
export function parseLayerRecord(id: LayerId, text: string): LayerRecord {
  const found = parseObject(text);
  const { format, kind, parent, sizeBytes, committedAs, committedFrom, content, snapshot } = found;
  const { root, ahead } = found;
  if (
    format !== 1 ||
    (kind !== "active" && kind !== "view") ||
    !isIdOrNull(parent) ||
    !(sizeBytes === null || Number.isSafeInteger(sizeBytes)) ||
    !isIdOrNull(committedAs) ||
    !isIdOrNull(committedFrom) ||
    !(content === undefined || isContentName(content)) ||
    !(root === undefined || isRoot(root)) ||
    !(ahead === undefined || ahead === true) ||
    !(snapshot === undefined || isPendingSnapshot(snapshot))
  ) {
    throw damaged(id);
  }
  return {
    kind,
    parent,
    sizeBytes: sizeBytes as number | null,
    committedAs,
    committedFrom,
    ...(content !== undefined && { content }),
    ...(root !== undefined && { root }),
    ...(ahead && { ahead }),
    ...(snapshot !== undefined && { snapshot }),
  };
}

/** What a layer with this id and record is. */
export function describeLayer(id: LayerId, record: LayerRecord): LayerInfo {
  const { parent, sizeBytes, ahead } = record;
  if (record.committedAs === id) return { id, kind: "committed", parent, sizeBytes: null };
  return { id, kind: record.kind, parent, sizeBytes, ...(ahead && { ahead }) };
}

/** For a layer whose content is there and whose record is not, or cannot be read. */
export function damaged(id: LayerId): Failure {
  return new Failure(
    "data_loss",
    `Cannot use layer ${id}: its file ${RECORD_FILE} is missing or damaged; its content is still there, beside it`,
  );
}

function parseObject(text: string): LayerRecordText {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

/** The record as it is on disk, before anything is known of it. */
type LayerRecordText = { readonly [Key in keyof LayerRecord | "format"]?: unknown };

function isIdOrNull(value: unknown): value is LayerId | null {
  return value === null || (typeof value === "string" && isId(value));
}

/** A name that leads nowhere but into the directory of contents. */
function isContentName(value: unknown): value is string {
  return typeof value === "string" && /^[0-9a-z]{1,16}$/.test(value);
}

/** A path that leads nowhere but down. */
function isRoot(value: unknown): value is string {
  const parts = typeof value === "string" ? value.split("/") : [""];
  return !parts.some((part) => part === "" || part === "." || part === ".." || part.includes("\0"));
}

function isPendingSnapshot(value: unknown): value is PendingSnapshot {
  if (typeof value !== "object" || value === null) return false;
  const { as, parent, content }: { [Key in keyof PendingSnapshot]?: unknown } = value;
  return isIdOrNull(as) && as !== null && isIdOrNull(parent) && isContentName(content);
}
