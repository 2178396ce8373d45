import type { Command } from "commander";
import type { Context } from "./context.ts";
import { UsageError } from "./exit-code.ts";
import { printable, printableJson } from "./printable.ts";
import { formatTable } from "./table.ts";
import { type Fields, parseTemplate, TEMPLATE_HELP } from "./template.ts";

/** How a kind of item is listed. */
export interface Listing<T> {
  readonly fields: Fields<T>;
  /** Names of the fields that the table shows. */
  readonly columns: readonly string[];
  /** What `--quiet` prints, and other verbs take. */
  readonly handle: (item: T) => string;
}

/** What the user chose. */
export interface ListingOptions {
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly format?: string;
}

/** Adds `--json`, `--quiet` and `--format`. */
export function addListingOptions(command: Command, listing: Listing<never>): Command {
  return command
    .option("-q, --quiet", "only what other commands take: a line each")
    .option("--json", "a JSON array, as the API gives it")
    .option("--format <template>", TEMPLATE_HELP)
    .addHelpText("after", `\nFields: ${Object.keys(listing.fields).join(" ")}`);
}

/** Says how `items` are to be shown, before the daemon is asked. @throws {UsageError} for a bad template or two choices at once. */
export function planListing<T>(
  context: Context,
  listing: Listing<T>,
  { json, quiet, format }: ListingOptions,
): (items: readonly T[]) => void {
  if ([json, quiet, format].filter((choice) => choice !== undefined).length > 1) {
    throw new UsageError("Cannot combine --json, --quiet and --format: give one of them");
  }
  if (json === true) return (items) => context.out(`${printableJson(items, 2)}\n`);
  if (quiet === true)
    return (items) =>
      items.forEach((item) => {
        context.out(`${printable(listing.handle(item))}\n`);
      });
  if (format !== undefined) return planTemplate(context, listing, format);
  const columns = listing.columns.flatMap((name) => listing.fields[name] ?? []);
  return (items) => {
    const rows = items.map((item) => columns.map(({ text }) => text(item)));
    const head = columns.map((column) => column.head);
    context.out(formatTable(head, rows, context.terminal.columns));
  };
}

function planTemplate<T>(
  context: Context,
  listing: Listing<T>,
  format: string,
): (items: readonly T[]) => void {
  const template = parseTemplate(format, listing.fields);
  return (items) => {
    const lines = items.map(template.apply);
    if (!template.table) {
      for (const line of lines) context.out(`${line}\n`);
      return;
    }
    const head = template.head.split("\t");
    const rows = lines.map((line) => line.split("\t"));
    context.out(formatTable(head, rows, context.terminal.columns));
  };
}

/** Shows items one after the other, each as a block of `Field: value` lines. */
export function formatDetails(facts: readonly (readonly [string, string])[]): string {
  const width = Math.max(...facts.map(([name]) => name.length));
  return facts.map(([name, value]) => `${name.padEnd(width)}   ${printable(value)}\n`).join("");
}
