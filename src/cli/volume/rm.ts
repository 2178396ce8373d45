import { Command } from "commander";
import { formatAge } from "../age.ts";
import type { Context } from "../context.ts";
import { forEachTarget } from "../many.ts";
import { printable } from "../printable.ts";

/** `lagan volume rm` */
export function rmCommand(context: Context): Command {
  return new Command("rm")
    .description("Put volumes into the trash, from which they can come back")
    .argument("<volume...>", "names of volumes")
    .action(async (names: readonly string[]) => {
      await forEachTarget(context, names, (name) => removeVolume(context, name));
    });
}

/** Removes one volume and says how to undo it. */
export async function removeVolume(context: Context, name: string): Promise<void> {
  const client = await context.client();
  const { restorable, expiresAt, ...removed } = await client.removeVolume(name);
  const shown = printable(removed.name);
  if (!restorable) {
    context.out(`${shown}: removed for good (the trash is turned off)\n`);
    return;
  }
  const until = expiresAt === null ? "" : ` (expires ${formatAge(expiresAt, context.now())})`;
  context.out(`${shown}: in the trash${until}; to get it back: lagan trash restore ${shown}\n`);
}
