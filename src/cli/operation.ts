import { Command } from "commander";
import type { WireOperation } from "../api/rest/client.ts";
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
import { forEachTarget } from "./many.ts";
import { printable, printableJson } from "./printable.ts";

/** `lagan operation …` */
export function operationCommand(context: Context): Command {
  const listing: Listing<WireOperation> = {
    fields: {
      ID: { head: "ID", text: ({ id }) => id },
      Verb: { head: "VERB", text: ({ verb }) => verb },
      Target: { head: "TARGET", text: ({ target }) => target },
      State: { head: "STATE", text: ({ state }) => state },
      Copied: { head: "COPIED", text: formatCopied },
      Started: { head: "STARTED", text: ({ startedAt }) => formatAge(startedAt, context.now()) },
      StartedAt: { head: "STARTED AT", text: ({ startedAt }) => startedAt },
      Why: { head: "WHY", text: ({ why }) => why ?? "" },
    },
    columns: ["ID", "Verb", "Target", "State", "Copied", "Started"],
    handle: ({ id }) => id,
  };
  const ls = new Command("ls")
    .description("List work of several steps, the oldest first; finished work for a day")
    .action(async (options: ListingOptions) => {
      const show = planListing(context, listing, options);
      show(await (await context.client()).listOperations());
    });
  const inspect = new Command("inspect")
    .description("Show all there is to know about an operation")
    .argument("<operation>", "id of an operation")
    .option("--json", "as the API gives it")
    .action(async (id: string, { json }: { readonly json?: true }) => {
      const operation = await (await context.client()).getOperation(id);
      context.out(json ? `${printableJson(operation, 2)}\n` : formatOperation(operation));
    });
  const cancel = new Command("cancel")
    .description("Stop work that copies something, and take back what it did")
    .argument("<operation...>", "ids of operations")
    .action(async (ids: readonly string[]) => {
      await forEachTarget(context, ids, async (id) => {
        const { verb, target } = await (await context.client()).cancelOperation(id);
        context.out(`${verb} of ${printable(target)}: stopped, and taken back\n`);
      });
    });
  return new Command("operation")
    .description("Operations: work of several steps, carried on after a crash")
    .addCommand(addListingOptions(ls, listing))
    .addCommand(inspect)
    .addCommand(cancel);
}

function formatCopied({ doneBytes, totalBytes }: WireOperation): string {
  if (doneBytes === null) return "";
  const done = formatBytes(doneBytes);
  return totalBytes === null ? done : `${done} of ${formatBytes(totalBytes)}`;
}

function formatTarget({ target, volumeId }: WireOperation): string {
  return volumeId === null ? `image ${target}` : `volume ${target} (${volumeId})`;
}

function formatOperation(operation: WireOperation): string {
  const { state, why, finishedAt } = operation;
  return formatDetails([
    ["ID", operation.id],
    ["Verb", operation.verb],
    ["Target", formatTarget(operation)],
    ["State", why === null ? state : `${state}: ${why}`],
    ...(operation.doneBytes === null ? [] : ([["Copied", formatCopied(operation)]] as const)),
    ["Started", operation.startedAt],
    ["Finished", finishedAt ?? "not yet"],
  ]);
}
