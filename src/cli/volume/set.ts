import { Command } from "commander";
import type { Context } from "../context.ts";
import { UsageError } from "../exit-code.ts";
import { collect, parsePairs } from "../pairs.ts";
import { printable } from "../printable.ts";

interface SetOptions {
  readonly label: readonly string[];
  readonly unlabel: readonly string[];
  readonly protect?: boolean;
}

/** `lagan volume set` */
export function setCommand(context: Context): Command {
  return new Command("set")
    .description("Change labels and protection of a volume")
    .argument("<volume>", "name of a volume")
    .option("--label <key=value>", "add or replace a label; again for more", collect, [])
    .option("--unlabel <key>", "take a label away; again for more", collect, [])
    .option("--protect", "refuse to remove it")
    .option("--no-protect", "allow to remove it")
    .action(async (name: string, { label, unlabel, protect }: SetOptions) => {
      if (label.length + unlabel.length === 0 && protect === undefined) {
        throw new UsageError(
          "Cannot set nothing: give --label, --unlabel, --protect or --no-protect",
        );
      }
      const labels = new Map<string, string | null>(Object.entries(parsePairs("--label", label)));
      for (const key of unlabel) {
        if (typeof labels.get(key) === "string") {
          throw new UsageError(`Cannot add and take away label ${printable(key)} at once`);
        }
        labels.set(key, null);
      }
      const client = await context.client();
      // From entries: an assignment to `labels.__proto__` would be lost without a word.
      const change = {
        labels: Object.fromEntries(labels),
        ...(protect !== undefined && { protect }),
      };
      context.out(`${printable((await client.changeVolume(name, change)).name)}\n`);
    });
}

/** `lagan volume rename` */
export function renameCommand(context: Context): Command {
  return new Command("rename")
    .description("Give a volume that nobody uses another name")
    .argument("<volume>", "its name")
    .argument("<new-name>", "the new name")
    .action(async (name: string, newName: string) => {
      const client = await context.client();
      context.out(`${printable((await client.changeVolume(name, { name: newName })).name)}\n`);
    });
}
