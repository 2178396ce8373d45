import { Command } from "commander";
import type { WireTrashed } from "../api/rest/client.ts";
import { formatAge } from "./age.ts";
import { confirm } from "./confirm.ts";
import type { Context } from "./context.ts";
import { EXIT_CODE } from "./exit-code.ts";
import { addListingOptions, type Listing, type ListingOptions, planListing } from "./listing.ts";
import { forEachTarget } from "./many.ts";
import { printable } from "./printable.ts";
import { volumeFields } from "./volume/fields.ts";

/** `lagan trash …` */
export function trashCommand(context: Context): Command {
  return new Command("trash")
    .description("Removed volumes: whole until they expire or the trash is emptied")
    .addCommand(lsCommand(context))
    .addCommand(restoreCommand(context))
    .addCommand(rmCommand(context))
    .addCommand(emptyCommand(context));
}

function lsCommand(context: Context): Command {
  const now = () => context.now();
  const listing: Listing<WireTrashed> = {
    fields: {
      ...volumeFields(context),
      Removed: { head: "REMOVED", text: ({ trashedAt }) => formatAge(trashedAt, now()) },
      RemovedAt: { head: "REMOVED AT", text: ({ trashedAt }) => trashedAt },
      Expires: {
        head: "EXPIRES",
        text: ({ expiresAt }) => (expiresAt === null ? "never" : formatAge(expiresAt, now())),
      },
      ExpiresAt: { head: "EXPIRES AT", text: ({ expiresAt }) => expiresAt ?? "" },
    },
    columns: ["ID", "Name", "Pool", "Used", "Removed", "Expires"],
    handle: ({ id }) => id,
  };
  const command = new Command("ls")
    .description("List removed volumes, the last one first")
    .action(async (options: ListingOptions) => {
      const show = planListing(context, listing, options);
      show(await (await context.client()).listTrash());
    });
  return addListingOptions(command, listing);
}

function restoreCommand(context: Context): Command {
  return new Command("restore")
    .description("Take a volume out of the trash")
    .argument("<trashed>", "its name (the one removed last), its id, or the beginning of it")
    .option("--name <name>", "another name than it had")
    .action(async (what: string, { name }: { readonly name?: string }) => {
      const restored = await (await context.client()).restoreVolume(what, name);
      context.out(`${printable(restored.name)}\n`);
    });
}

function rmCommand(context: Context): Command {
  return new Command("rm")
    .description("Remove volumes in the trash for good")
    .argument("<trashed...>", "names (the one removed last), ids, or the beginnings of ids")
    .option("-f, --force", "do not ask")
    .action(async (targets: readonly string[], { force }: { readonly force?: true }) => {
      const names = targets.map(printable).join(", ");
      if (force !== true && !(await confirm(context, `Remove for good: ${names}?`))) return;
      const client = await context.client();
      await forEachTarget(context, targets, async (target) => {
        const { name, id } = await client.purgeVolume(target);
        context.out(`${printable(name)} (${printable(id)}): removed for good\n`);
      });
    });
}

function emptyCommand(context: Context): Command {
  return new Command("empty")
    .description("Remove everything in the trash for good")
    .option("-f, --force", "do not ask")
    .action(async ({ force }: { readonly force?: true }) => {
      const client = await context.client();
      if (force !== true) {
        const { length } = await client.listTrash();
        if (length > 0 && !(await confirm(context, `Remove ${length} for good?`))) return;
      }
      const { removed, failed } = await client.emptyTrash();
      for (const { name, id } of removed) {
        context.out(`${printable(name)} (${printable(id)}): removed for good\n`);
      }
      if (removed.length + failed.length === 0) context.out("The trash is empty\n");
      for (const { name, why } of failed) {
        context.err(`lagan: ${printable(`Cannot remove "${name}": ${why}`)}\n`);
        context.exit(EXIT_CODE.unavailable);
      }
    });
}
