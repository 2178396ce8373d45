import { Command } from "commander";
import type { RestClient } from "../api/rest/client.ts";
import { formatAge } from "./age.ts";
import { confirm } from "./confirm.ts";
import type { Context } from "./context.ts";
import { EXIT_CODE, UsageError } from "./exit-code.ts";
import { addListingOptions, type Listing, type ListingOptions, planListing } from "./listing.ts";
import { forEachTarget } from "./many.ts";
import { printable } from "./printable.ts";
import { refOf } from "./snapshot/fields.ts";
import { formatMaybe } from "./volume/fields.ts";

/** `lagan trash …` */
export function trashCommand(context: Context): Command {
  return new Command("trash")
    .description("Removed volumes and snapshots: whole until they expire or the trash is emptied")
    .addCommand(lsCommand(context))
    .addCommand(restoreCommand(context))
    .addCommand(rmCommand(context))
    .addCommand(emptyCommand(context));
}

/** A removed volume or snapshot. */
interface Row {
  readonly kind: "volume" | "snapshot";
  readonly id: string;
  readonly name: string;
  readonly usedBytes: number | null;
  readonly trashedAt: string;
  readonly expiresAt: string | null;
}

function lsCommand(context: Context): Command {
  const now = () => context.now();
  const listing: Listing<Row> = {
    fields: {
      Kind: { head: "KIND", text: ({ kind }) => kind },
      ID: { head: "ID", text: ({ id }) => id },
      Name: { head: "NAME", text: ({ name }) => name },
      Used: { head: "USED", text: ({ usedBytes }) => formatMaybe(usedBytes) },
      UsedBytes: { head: "USED BYTES", text: ({ usedBytes }) => String(usedBytes ?? "") },
      Removed: { head: "REMOVED", text: ({ trashedAt }) => formatAge(trashedAt, now()) },
      RemovedAt: { head: "REMOVED AT", text: ({ trashedAt }) => trashedAt },
      Expires: {
        head: "EXPIRES",
        text: ({ expiresAt }) => (expiresAt === null ? "never" : formatAge(expiresAt, now())),
      },
      ExpiresAt: { head: "EXPIRES AT", text: ({ expiresAt }) => expiresAt ?? "" },
    },
    columns: ["Kind", "ID", "Name", "Used", "Removed", "Expires"],
    handle: ({ kind, id, name }) => (kind === "volume" ? id : name),
  };
  const command = new Command("ls")
    .description("List removed volumes and snapshots, the last one first")
    .action(async (options: ListingOptions) => {
      const show = planListing(context, listing, options);
      const client = await context.client();
      const volumes = await client.listTrash();
      const snapshots = await client.listTrashedSnapshots();
      const rows: readonly Row[] = [
        ...volumes.map((volume): Row => ({ ...volume, kind: "volume" })),
        ...snapshots.map(
          (one): Row => ({
            ...one,
            kind: "snapshot",
            name: `${one.volume.split("@")[0]}@${one.id}`,
            usedBytes: one.exclusiveBytes,
          }),
        ),
      ];
      show(rows.toSorted((a, b) => (a.trashedAt < b.trashedAt ? 1 : -1)));
    });
  return addListingOptions(command, listing);
}

function restoreCommand(context: Context): Command {
  return new Command("restore")
    .description("Take a volume, or a snapshot VOLUME@SNAPSHOT, out of the trash")
    .argument("<trashed>", "its name (the one removed last), its id, or the beginning of it")
    .option("--name <name>", "another name than the volume had")
    .action(async (what: string, { name }: { readonly name?: string }) => {
      const client = await context.client();
      if (await isSnapshot(client, what)) {
        if (name !== undefined) throw new UsageError("Cannot combine --name with a snapshot");
        context.out(`${printable(refOf(await client.restoreSnapshot(what)))}\n`);
        return;
      }
      const restored = await client.restoreVolume(what, name);
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
        if (await isSnapshot(client, target)) {
          const shown = printable(refOf(await client.purgeSnapshot(target)));
          context.out(`${shown}: removed for good\n`);
          return;
        }
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
        const snapshots = await client.listTrashedSnapshots();
        const length = (await client.listTrash()).length + snapshots.length;
        if (length > 0 && !(await confirm(context, `Remove ${length} for good?`))) return;
      }
      const snapshots = await client.listTrashedSnapshots();
      await forEachTarget(
        context,
        snapshots.map((one) => one.uuid),
        async (id) => {
          const shown = printable(refOf(await client.purgeSnapshot(id)));
          context.out(`${shown}: removed for good\n`);
        },
      );
      const { removed, failed } = await client.emptyTrash();
      for (const { name, id } of removed) {
        context.out(`${printable(name)} (${printable(id)}): removed for good\n`);
      }
      if (removed.length + failed.length + snapshots.length === 0)
        context.out("The trash is empty\n");
      for (const { name, why } of failed) {
        context.err(`lagan: ${printable(`Cannot remove "${name}": ${why}`)}\n`);
        context.exit(EXIT_CODE.unavailable);
      }
    });
}

/** `VOLUME@SNAPSHOT`, unless a removed branch has that name; or the id of one that no volume has. */
async function isSnapshot(client: RestClient, what: string): Promise<boolean> {
  const volumes = await client.listTrash();
  if (volumes.some(({ name, id }) => name === what || id.startsWith(what))) return false;
  if (what.includes("@")) return true;
  const snapshots = await client.listTrashedSnapshots();
  return snapshots.some(({ id, uuid }) => id.startsWith(what) || uuid === what);
}
