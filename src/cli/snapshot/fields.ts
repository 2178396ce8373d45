import type { WireSnapshot } from "../../api/rest/client.ts";
import { formatAge } from "../age.ts";
import type { Context } from "../context.ts";
import type { Listing } from "../listing.ts";
import type { Fields } from "../template.ts";
import { formatLabels, formatMaybe } from "../volume/fields.ts";

/** What can be shown of a snapshot. */
export function snapshotFields(context: Context): Fields<WireSnapshot> {
  return {
    ID: { head: "ID", text: ({ id }) => id },
    UUID: { head: "UUID", text: ({ uuid }) => uuid },
    Ref: { head: "SNAPSHOT", text: refOf },
    Volume: { head: "VOLUME", text: ({ volume }) => volume },
    Name: { head: "NAME", text: ({ name }) => name ?? "" },
    Message: { head: "MESSAGE", text: ({ message }) => message.replaceAll("\n", " ") },
    Author: { head: "AUTHOR", text: ({ author }) => author },
    Cause: { head: "CAUSE", text: ({ cause }) => cause },
    Consistency: { head: "CONSISTENCY", text: ({ consistency }) => consistency },
    Group: { head: "GROUP", text: ({ group }) => group ?? "" },
    Branch: { head: "BRANCH", text: ({ volume }) => volume.split("@")[1] ?? "main" },
    Head: { head: "HEAD", text: ({ tip }) => (tip ? "*" : "") },
    Protected: { head: "PROTECTED", text: ({ protection }) => protection?.by ?? "" },
    Used: { head: "USED", text: ({ usedBytes }) => formatMaybe(usedBytes) },
    UsedBytes: { head: "USED BYTES", text: ({ usedBytes }) => String(usedBytes ?? "") },
    Own: { head: "OWN", text: ({ exclusiveBytes }) => formatMaybe(exclusiveBytes) },
    OwnBytes: { head: "OWN BYTES", text: ({ exclusiveBytes }) => String(exclusiveBytes ?? "") },
    Labels: { head: "LABELS", text: ({ labels }) => formatLabels(labels) },
    Created: { head: "CREATED", text: ({ createdAt }) => formatAge(createdAt, context.now()) },
    CreatedAt: { head: "CREATED AT", text: ({ createdAt }) => createdAt },
  };
}

/** How snapshots are listed. */
export function snapshotListing(
  context: Context,
  columns: readonly string[],
): Listing<WireSnapshot> {
  return { fields: snapshotFields(context), columns, handle: refOf };
}

/** What other verbs take. Of a branch too: its snapshots are found by the volume's name. */
export function refOf({ volume, name, id }: WireSnapshot): string {
  return `${volume.split("@")[0]}@${name ?? id}`;
}
