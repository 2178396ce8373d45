import { Command } from "commander";
import type { WireLayer } from "../api/rest/client.ts";
import { formatBytes } from "../core/size.ts";
import type { Context } from "./context.ts";
import { addListingOptions, type Listing, type ListingOptions, planListing } from "./listing.ts";
import { formatTable } from "./table.ts";

const LISTING: Listing<WireLayer> = {
  fields: {
    ID: { head: "LAYER", text: ({ id }) => id },
    Kind: { head: "KIND", text: ({ kind }) => kind },
    Pool: { head: "POOL", text: ({ pool }) => pool },
    Size: { head: "OWN", text: sizeOf },
    SizeBytes: { head: "OWN BYTES", text: ({ sizeBytes }) => String(sizeBytes ?? "") },
    Parent: { head: "PARENT", text: ({ parent }) => parent ?? "" },
    Chain: { head: "CHAIN", text: ({ chainId }) => chainId ?? "" },
    UsedBy: { head: "USED BY", text: usesOf },
  },
  columns: ["ID", "Kind", "Pool", "Size", "UsedBy"],
  handle: ({ id }) => id,
};

/** `lagan layer …` */
export function layerCommand(context: Context): Command {
  const ls = new Command("ls")
    .description("List the layers of images, containers, volumes and snapshots")
    .action(async (options: ListingOptions) => {
      const show = planListing(context, LISTING, options);
      show(await (await context.client()).images.listLayers());
    });
  const tree = new Command("tree")
    .description("Show which layer stands on which, and what uses them; below is what shares")
    .action(async () => {
      context.out(formatTree(await (await context.client()).images.listLayers(), context));
    });
  return new Command("layer")
    .description("Layers: what images, containers, volumes and snapshots are made of")
    .addCommand(addListingOptions(ls, LISTING))
    .addCommand(tree);
}

/** Each layer under the one that it was made from, the oldest first. */
function formatTree(layers: readonly WireLayer[], { terminal }: Context): string {
  const known = new Set(layers.map(({ id }) => id));
  const children = new Map<string, WireLayer[]>();
  for (const layer of layers) {
    const parent = layer.parent !== null && known.has(layer.parent) ? layer.parent : "";
    children.set(parent, [...(children.get(parent) ?? []), layer]);
  }
  const rows: string[][] = [];
  // By hand: a chain of layers can be deeper than the stack.
  const waiting = (children.get("") ?? []).toReversed().map((layer) => ({ layer, depth: 0 }));
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { layer, depth } = next;
    const mark = depth === 0 ? "" : `${"  ".repeat(depth - 1)}└ `;
    rows.push([
      `${mark}${layer.id.slice(-12)}`,
      layer.kind,
      layer.pool,
      sizeOf(layer),
      usesOf(layer),
    ]);
    for (const child of (children.get(layer.id) ?? []).toReversed()) {
      waiting.push({ layer: child, depth: depth + 1 });
    }
  }
  return formatTable(["LAYER", "KIND", "POOL", "OWN", "USED BY"], rows, terminal.columns);
}

function sizeOf({ sizeBytes }: WireLayer): string {
  return sizeBytes === null ? "-" : formatBytes(sizeBytes);
}

function usesOf({ usedBy }: WireLayer): string {
  return usedBy.join(", ") || "";
}
