import { refusal } from "./block.ts";
import { shown } from "./bytes.ts";

/** What begins the name of an entry that removes another. */
export const WHITEOUT_PREFIX = ".wh.";
/** What begins the names that AUFS had for itself. */
const META_PREFIX = ".wh..wh.";
const OPAQUE = ".wh..wh..opq";

/** What the path of a layer's entry says; `directory` is empty at the root. */
export type LayerName =
  | { readonly says: "entry"; readonly directory: string; readonly name: string }
  /** `name` of the layers below is removed. */
  | { readonly says: "whiteout"; readonly directory: string; readonly name: string }
  /** Everything of the layers below is removed in `directory`. */
  | { readonly says: "opaque"; readonly directory: string }
  /** The root itself. */
  | { readonly says: "root" }
  | { readonly says: "nothing" };

/**
 * Reads the path of an entry (OCI image specification 1.0, layer.md, "Whiteouts").
 *
 * @param path As `Entry.path`.
 * @throws {Failure} `invalid_argument` when it is a whiteout of no name, or lies in one.
 */
export function parseLayerName(path: string): LayerName {
  if (path === "") return { says: "root" };
  const cut = path.lastIndexOf("/");
  const directory = cut < 0 ? "" : path.slice(0, cut);
  const name = path.slice(cut + 1);
  if (!path.includes(WHITEOUT_PREFIX)) return { says: "entry", directory, name };
  const parts = directory.split("/");
  if (parts.some((part) => part.startsWith(META_PREFIX))) return { says: "nothing" };
  if (parts.some((part) => part.startsWith(WHITEOUT_PREFIX))) {
    throw refusal(`entry ${shown(path)} lies in a whiteout`);
  }
  if (name === OPAQUE) return { says: "opaque", directory };
  if (name.startsWith(META_PREFIX)) return { says: "nothing" };
  if (!name.startsWith(WHITEOUT_PREFIX)) return { says: "entry", directory, name };
  const removed = name.slice(WHITEOUT_PREFIX.length);
  if (removed === "" || removed === "." || removed === "..") {
    throw refusal(`entry ${shown(path)} is a whiteout of no name`);
  }
  return { says: "whiteout", directory, name: removed };
}
