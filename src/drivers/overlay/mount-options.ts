import type { LayerMount } from "../../core/ports/storage-driver.ts";

/** Most layers that a layer stands on (OVL_MAX_STACK, kernel 6.18). */
export const DEPTH_LIMIT = 500;

/*
 * kernel: Documentation/filesystems/overlayfs.rst (6.18)
 * - redirect_dir=on: a directory of a lower layer can be renamed, which is EXDEV without it.
 * - index=off: with an index, names of a hard link that are not in the upper layer yet follow its books in the work directory; once
 *   that upper layer is a lower one those books are gone, and the names would show old content.
 * - metacopy=off: an upper file is whole by itself, never attributes alone.
 * All are said, since distributions build kernels with other defaults.
 */
const WRITABLE = ["redirect_dir=on", "index=off", "metacopy=off"];
const READ_ONLY = ["ro", "redirect_dir=follow", "index=off", "metacopy=off"];

/** Directories of one layer that can be written, or of the topmost. */
export interface Upper {
  readonly content: string;
  readonly work: string;
}

/** The mount of a layer to be written. @param lowers Its ancestors' content, nearest first. */
export function writableMount({ content, work }: Upper, lowers: readonly string[]): LayerMount {
  // "rw", so that it is not used as a plain path: whether a layer is in use is seen by its mounts.
  if (lowers.length === 0) return { type: "bind", source: content, options: ["rw"] };
  const layers = [`lowerdir=${lowers.join(":")}`, `upperdir=${content}`, `workdir=${work}`];
  return { type: "overlay", source: "overlay", options: [...layers, ...WRITABLE] };
}

/** The mount of layers to be read. @param layers At least one, topmost first. */
export function readOnlyMount(layers: readonly string[]): LayerMount {
  const [only, ...more] = layers;
  if (only !== undefined && more.length === 0) {
    return { type: "bind", source: only, options: ["ro"] };
  }
  const options = [`lowerdir=${layers.join(":")}`, ...READ_ONLY];
  return { type: "overlay", source: "overlay", options };
}
