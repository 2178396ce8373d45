import type { WireImage } from "../../api/rest/client.ts";
import { formatBytes } from "../../core/size.ts";
import { formatAge } from "../age.ts";
import type { Context } from "../context.ts";
import type { Listing } from "../listing.ts";

/** The first digits of an id. */
export function shortId(id: string): string {
  return id.replace(/^sha256:/, "").slice(0, 12);
}

/** How images are listed. */
export function imageListing(context: Context): Listing<WireImage> {
  const age = (time: string | null) => (time === null ? "" : formatAge(time, context.now()));
  return {
    fields: {
      Name: { head: "NAME", text: ({ names }) => names.join(", ") || "<none>" },
      ID: { head: "ID", text: ({ id }) => shortId(id) },
      Layers: { head: "LAYERS", text: ({ layers }) => String(layers.length) },
      Size: { head: "SIZE", text: ({ sizeBytes }) => formatBytes(sizeBytes) },
      SizeBytes: { head: "SIZE BYTES", text: ({ sizeBytes }) => String(sizeBytes) },
      Own: { head: "OWN", text: ({ ownBytes }) => formatBytes(ownBytes) },
      OwnBytes: { head: "OWN BYTES", text: ({ ownBytes }) => String(ownBytes) },
      Volumes: { head: "VOLUMES", text: ({ volumes }) => volumes.join(", ") },
      Platform: { head: "PLATFORM", text: platformOf },
      Pool: { head: "POOL", text: ({ pool }) => pool },
      Created: { head: "CREATED", text: ({ createdAt }) => age(createdAt) },
      Imported: { head: "IMPORTED", text: ({ importedAt }) => age(importedAt) },
      ImportedAt: { head: "IMPORTED AT", text: ({ importedAt }) => importedAt },
      Digest: { head: "DIGEST", text: ({ manifest }) => manifest ?? "" },
    },
    columns: ["Name", "ID", "Layers", "Size", "Own", "Volumes", "Imported"],
    handle: ({ names: [name], id }) => name ?? id,
  };
}

/** `linux/arm/v7`. */
export function platformOf({ os, architecture, variant }: WireImage): string {
  return [os, architecture, ...(variant === null ? [] : [variant])].join("/");
}
