import { Command } from "commander";
import type { WireVolume } from "../../api/rest/client.ts";
import { confirm } from "../confirm.ts";
import type { Context } from "../context.ts";
import { forEachTarget } from "../many.ts";
import { collect } from "../pairs.ts";
import { formatTable } from "../table.ts";
import { volumeListing } from "./fields.ts";
import { removeVolume } from "./rm.ts";

interface PruneOptions {
  readonly force?: true;
  readonly dryRun?: true;
  readonly label: readonly string[];
}

/** `lagan volume prune` */
export function pruneCommand(context: Context): Command {
  return new Command("prune")
    .description("Put the volumes that no container uses into the trash; protected ones stay")
    .option("-f, --force", "do not ask")
    .option("-n, --dry-run", "only say which would go")
    .option("--label <key[=value]>", "only with this label; again: with all of them", collect, [])
    .action(async ({ force, dryRun, label: labels }: PruneOptions) => {
      const client = await context.client();
      const unused = await client.listVolumes({ labels, unused: true });
      const going = unused.filter((volume) => !volume.protected);
      const kept = unused.length - going.length;
      const protectedOnes = kept === 0 ? "" : ` (${kept} unused but protected)`;
      if (going.length === 0) {
        context.out(`Nothing to remove: every volume is in use or protected${protectedOnes}\n`);
        return;
      }
      if (dryRun === true) {
        context.out(`Would go into the trash${protectedOnes}:\n${tableOf(context, going)}`);
        return;
      }
      if (force !== true) {
        if (context.terminal.interactive)
          context.err(`No container uses these${protectedOnes}:\n${tableOf(context, going)}`);
        if (!(await confirm(context, `Put ${going.length} into the trash?`))) {
          context.out("Nothing was removed\n");
          return;
        }
      }
      // One by one, and each looked at again: one that came into use meanwhile is refused.
      const names = going.map(({ name }) => name);
      await forEachTarget(context, names, (name) => removeVolume(context, name));
    });
}

function tableOf(context: Context, volumes: readonly WireVolume[]): string {
  const { fields, columns } = volumeListing(context);
  const shown = columns.flatMap((name) => fields[name] ?? []);
  return formatTable(
    shown.map(({ head }) => head),
    volumes.map((volume) => shown.map(({ text }) => text(volume))),
    context.terminal.columns,
  );
}
