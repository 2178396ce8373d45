import { Command } from "commander";
import type { WireRemovedImage } from "../../api/rest/client.ts";
import { confirm } from "../confirm.ts";
import type { Context } from "../context.ts";
import { forEachTarget } from "../many.ts";
import { printable } from "../printable.ts";
import { shortId } from "./fields.ts";

/** `lagan image rm` */
export function rmCommand(context: Context): Command {
  return new Command("rm")
    .description("Take names away, and with the last one the image; volumes made from it stay")
    .argument("<image...>", "names or ids of images")
    .option("-f, --force", "by id also with several names")
    .action(async (names: readonly string[], { force }: { readonly force?: true }) => {
      const { images } = await context.client();
      await forEachTarget(context, names, async (name) => {
        tell(context, await images.remove(name, force === true));
      });
    });
}

/** `lagan image prune` */
export function pruneCommand(context: Context): Command {
  return new Command("prune")
    .description("Remove images without a name; with --all those from which no volume was made")
    .option("-a, --all", "also images with a name")
    .option("-f, --force", "do not ask")
    .action(async ({ all, force }: { readonly all?: true; readonly force?: true }) => {
      const what = all === true ? "every image that no volume was made from" : "unnamed images";
      if (force !== true && !(await confirm(context, `Remove ${what}?`))) {
        context.out("Nothing was removed\n");
        return;
      }
      const { removed } = await (await context.client()).images.prune(all === true);
      if (removed.length === 0) context.out("Nothing to remove\n");
      for (const one of removed) tell(context, one);
    });
}

function tell(context: Context, { id, untagged, removed }: WireRemovedImage): void {
  for (const name of untagged) context.out(`${printable(name)}: no name any more\n`);
  if (removed) context.out(`${shortId(id)}: removed; what nobody else has is freed soon\n`);
}
