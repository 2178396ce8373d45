import { Command } from "commander";
import type { WirePool } from "../api/rest/client.ts";
import { formatBytes } from "../core/size.ts";
import { formatAge } from "./age.ts";
import type { Context } from "./context.ts";
import {
  addListingOptions,
  formatDetails,
  type Listing,
  type ListingOptions,
  planListing,
} from "./listing.ts";
import { printableJson } from "./printable.ts";
import { formatMaybe } from "./volume/fields.ts";

const LISTING: Listing<WirePool> = {
  fields: {
    Name: { head: "NAME", text: ({ name }) => name },
    Driver: { head: "DRIVER", text: ({ driver }) => driver },
    Health: { head: "HEALTH", text: ({ health }) => health.state },
    Total: { head: "SIZE", text: ({ totalBytes }) => formatMaybe(totalBytes) },
    TotalBytes: { head: "SIZE BYTES", text: ({ totalBytes }) => String(totalBytes ?? "") },
    Free: { head: "FREE", text: ({ availableBytes }) => formatMaybe(availableBytes) },
    FreeBytes: { head: "FREE BYTES", text: ({ availableBytes }) => String(availableBytes ?? "") },
    Limits: { head: "LIMITS", text: ({ traits }) => traits.sizeLimit ?? "no" },
    Why: { head: "WHY", text: ({ why }) => why },
  },
  columns: ["Name", "Driver", "Health", "Total", "Free", "Limits"],
  handle: ({ name }) => name,
};

/** `lagan pool …` */
export function poolCommand(context: Context): Command {
  const ls = new Command("ls")
    .description("List pools with their health and room")
    .action(async (options: ListingOptions) => {
      const show = planListing(context, LISTING, options);
      show(await (await context.client()).listPools());
    });
  const inspect = new Command("inspect")
    .description("Show all there is to know about a pool")
    .argument("<pool>", "name of a pool")
    .option("--json", "as the API gives it")
    .action(async (name: string, { json }: { readonly json?: true }) => {
      const pool = await (await context.client()).getPool(name);
      const text = json ? `${printableJson(pool, 2)}\n` : formatPool(pool, context.now());
      context.out(text);
    });
  return new Command("pool")
    .description("Pools: the storage that this node offers")
    .addCommand(addListingOptions(ls, LISTING))
    .addCommand(inspect);
}

function formatPool(pool: WirePool, nowMs: number): string {
  const { health, traits, totalBytes, availableBytes } = pool;
  const room =
    totalBytes === null || availableBytes === null
      ? "unknown while it is faulted"
      : `${formatBytes(availableBytes)} of ${formatBytes(totalBytes)} free`;
  const limits =
    traits.sizeLimit === null
      ? "cannot be limited"
      : `can be limited; a writer over the limit gets ${traits.sizeLimit}`;
  const options = Object.entries(pool.options).map(([key, value]) => `${key}=${value}`);
  return formatDetails([
    ["Name", pool.name],
    ["Driver", pool.driver],
    ["Why", pool.why],
    ["Health", health.state === "ok" ? "ok" : `${health.state}: ${health.why}`],
    ["Room", room],
    ["Volumes", limits],
    ["Usage", traits.instantUsage ? "from the books" : "measured by a walk when asked for"],
    ["Options", options.join(", ") || "none"],
    ["Made", `${pool.createdAt} (${formatAge(pool.createdAt, nowMs)})`],
    ...Object.entries(pool.facts).map(([key, value]) => [`  ${key}`, String(value)] as const),
  ]);
}
