import { rm } from "node:fs/promises";
import type { ImageSources } from "../core/ports/image-source.ts";
import { openImageArchive } from "./image-archive.ts";
import { openRegistry } from "./registry-source.ts";

/** Images from archives and registries. @param directory Of ours alone, for what is kept meanwhile. */
export function hostImageSources(directory: string): ImageSources {
  return {
    fromArchive: (tar, options, signal) => openImageArchive(directory, tar, options, signal),
    fromRegistry: (reference, options, signal) =>
      openRegistry(directory, reference, options, signal),
    clear: () => rm(directory, { recursive: true, force: true }),
  };
}
