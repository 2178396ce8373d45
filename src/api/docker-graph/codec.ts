import { z } from "zod";
import { Failure } from "../../core/failure.ts";
import { quote } from "../../core/name.ts";
import { parseSizeBytes } from "../../core/size.ts";
import type { GraphChange, GraphId } from "../../services/graph.ts";
import { parsePluginBody } from "../shared/plugin-body.ts";

/** Longest id that is taken, in characters. Docker's have 64, those of init layers 69, BuildKit's 25. */
export const GRAPH_ID_LIMIT = 200;

const ID = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

const LAYER = z.object({
  ID: z.string(),
  Parent: z.string().nullish(),
  MountLabel: z.string().nullish(),
  StorageOpt: z.record(z.string(), z.string()).nullish(),
});
const INIT = z.object({
  Home: z.string().min(1).max(4096),
  Opts: z.array(z.string()).nullish(),
  UIDMaps: z.array(z.unknown()).nullish(),
  GIDMaps: z.array(z.unknown()).nullish(),
});

/** Which layer a call is about. */
export interface GraphCall {
  readonly id: GraphId;
  /** Null: none, as Docker's empty text. */
  readonly parent: GraphId | null;
}

/** A call about one layer. @throws {Failure} `invalid_argument` when it is not one, or the id none of Docker's. */
export function parseCall(body: string): GraphCall {
  const { ID, Parent } = parsePluginBody(LAYER, body);
  return callOf(ID, Parent ?? "");
}

/**
 * A creation.
 *
 * @throws {Failure} as {@link parseCall}; `unimplemented` for an SELinux label; `invalid_argument` for an option that is
 * not `size`.
 */
export function parseCreation(body: string): GraphCall & { readonly sizeBytes: number | null } {
  const { ID, Parent, MountLabel, StorageOpt } = parsePluginBody(LAYER, body);
  const call = callOf(ID, Parent ?? "");
  if (call.id === call.parent) {
    throw new Failure("invalid_argument", `Cannot make layer ${ID}: it is named as its own parent`);
  }
  ensureNoLabel(`Cannot make layer ${ID}`, MountLabel);
  let sizeBytes: number | null = null;
  for (const [name, value] of Object.entries(StorageOpt ?? {})) {
    if (name !== "size") {
      throw new Failure(
        "invalid_argument",
        `Cannot make layer ${ID}: the storage option ${quote(name)} is not known; there is only "size"`,
      );
    }
    sizeBytes = parseSizeBytes(value);
  }
  return { ...call, sizeBytes };
}

/** A Get. @throws {Failure} as {@link parseCreation}. */
export function parseGet(body: string): GraphId {
  const { ID, MountLabel } = parsePluginBody(LAYER, body);
  const { id } = callOf(ID, "");
  ensureNoLabel(`Cannot mount layer ${ID}`, MountLabel);
  return id;
}

/** The query of ApplyDiff. @throws {Failure} `invalid_argument` as {@link parseCall}. */
export function parseApply(query: unknown): GraphCall {
  const { id, parent } = z
    .object({ id: z.string().catch(""), parent: z.string().catch("") })
    .parse(query);
  return callOf(id, parent);
}

/**
 * What an engine says first: where it keeps its own books, by which engines are told apart.
 *
 * @throws {Failure} `invalid_argument` for any storage option; `unimplemented` for user namespaces.
 */
export function parseInit(body: string): { readonly home: string } {
  const { Home, Opts, UIDMaps, GIDMaps } = parsePluginBody(INIT, body);
  const [option] = Opts ?? [];
  if (option !== undefined) {
    throw new Failure(
      "invalid_argument",
      `Cannot serve as the storage driver: lagan takes no --storage-opt, and it was given ${quote(option)}; set up pools in lagan.yaml`,
    );
  }
  if ((UIDMaps?.length ?? 0) + (GIDMaps?.length ?? 0) > 0) {
    throw new Failure(
      "unimplemented",
      "Cannot serve as the storage driver: the engine maps users (--userns-remap), and lagan keeps owners as the image has them; start the engine without it, or with its own storage driver",
    );
  }
  return { home: Home };
}

function callOf(id: string, parent: string): GraphCall {
  return { id: parseGraphId(id), parent: parent === "" ? null : parseGraphId(parent) };
}

function parseGraphId(text: string): GraphId {
  if (text.length > GRAPH_ID_LIMIT || !ID.test(text)) {
    throw new Failure(
      "invalid_argument",
      `Cannot use ${quote(text)} as the id of a layer: 1 to ${GRAPH_ID_LIMIT} letters, digits, ".", "_" and "-" are, and the first is a letter or digit`,
    );
  }
  return text as GraphId;
}

/** A label that was taken and not applied would let the container down at its first file, or let it see too much. */
function ensureNoLabel(attempt: string, label: string | null | undefined): void {
  if (label === undefined || label === null || label === "") return;
  throw new Failure(
    "unimplemented",
    `${attempt}: lagan cannot give it the SELinux label ${quote(label)}; start the engine without --selinux-enabled, or with its own storage driver`,
  );
}

/** Docker's numbers for what happened to a path (moby: pkg/archive, ChangeType). */
const KINDS: Readonly<Record<GraphChange["kind"], number>> = { modified: 0, added: 1, removed: 2 };

/** One change as Docker reads it: its path begins at the container's root. */
export function formatChange({ path, kind }: GraphChange): {
  readonly Path: string;
  readonly Kind: number;
} {
  // Bytes that are no UTF-8 stay as they are written there: JSON cannot hold them.
  return { Path: `/${path.replaceAll("%25", "%")}`, Kind: KINDS[kind] };
}
