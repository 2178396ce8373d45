import type { WireVolume } from "../../api/rest/client.ts";
import { formatBytes } from "../../core/size.ts";
import { formatAge } from "../age.ts";
import type { Context } from "../context.ts";
import type { Listing } from "../listing.ts";
import type { Fields } from "../template.ts";

/** The facts about a volume. */
export function volumeFields(context: Context): Fields<WireVolume> {
  return {
    Name: { head: "NAME", text: ({ name }) => name },
    ID: { head: "ID", text: ({ id }) => id },
    Pool: { head: "POOL", text: ({ pool }) => pool },
    Driver: { head: "DRIVER", text: ({ driver }) => driver },
    Size: { head: "LIMIT", text: ({ sizeBytes }) => formatLimit(sizeBytes) },
    SizeBytes: { head: "LIMIT BYTES", text: ({ sizeBytes }) => String(sizeBytes ?? "") },
    Used: { head: "USED", text: ({ usedBytes }) => formatMaybe(usedBytes) },
    UsedBytes: { head: "USED BYTES", text: ({ usedBytes }) => String(usedBytes ?? "") },
    Mounts: { head: "MOUNTS", text: ({ mounts }) => String(mounts) },
    Status: { head: "STATUS", text: formatStatus },
    Protected: { head: "PROTECTED", text: (volume) => String(volume.protected) },
    Profile: { head: "PROFILE", text: ({ options }) => options.profile ?? "" },
    Labels: { head: "LABELS", text: ({ labels }) => formatLabels(labels) },
    Created: { head: "CREATED", text: ({ createdAt }) => formatAge(createdAt, context.now()) },
    CreatedAt: { head: "CREATED AT", text: ({ createdAt }) => createdAt },
  };
}

/** How volumes are listed. */
export function volumeListing(context: Context): Listing<WireVolume> {
  return {
    fields: volumeFields(context),
    columns: ["Name", "Pool", "Size", "Used", "Mounts", "Status", "Created"],
    handle: ({ name }) => name,
  };
}

export function formatLimit(sizeBytes: number | null): string {
  return sizeBytes === null ? "none" : formatBytes(sizeBytes);
}

/** A figure that nobody has measured yet is a dash, never 0. */
export function formatMaybe(bytes: number | null): string {
  return bytes === null ? "-" : formatBytes(bytes);
}

export function formatLabels(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(",");
}

function formatStatus({ health, protected: isProtected }: WireVolume): string {
  return isProtected ? `${health.state}, protected` : health.state;
}
