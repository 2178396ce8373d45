import type { Archive } from "../core/ports/archive.ts";
import { packTree, packTreeInto } from "./archive-pack.ts";
import { unpackTree } from "./archive-unpack.ts";

/** Archives by this machine's GNU tar, and a gate of our own before what is unpacked. */
export const hostArchive: Archive = {
  pack: packTree,
  packInto: packTreeInto,
  unpack: unpackTree,
};
