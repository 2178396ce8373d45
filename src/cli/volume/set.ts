import { Command } from "commander";
import { authorOf } from "../author.ts";
import type { Context } from "../context.ts";
import { UsageError } from "../exit-code.ts";
import { collect, parsePairs } from "../pairs.ts";
import { printable } from "../printable.ts";

interface SetOptions {
  readonly label: readonly string[];
  readonly unlabel: readonly string[];
  readonly protect?: boolean;
  readonly every?: string;
  readonly keep?: string;
}

/** `lagan volume set` */
export function setCommand(context: Context): Command {
  return new Command("set")
    .description("Change labels, protection and schedule of a volume")
    .argument("<volume>", "name of a volume")
    .option("--label <key=value>", "add or replace a label; again for more", collect, [])
    .option("--unlabel <key>", "take a label away; again for more", collect, [])
    .option("--protect", "refuse to remove it")
    .option("--no-protect", "allow to remove it")
    .option("--every <duration>", "take a snapshot so often: 15m, 1h, 1d; none: never")
    .option("--keep <rules>", "which of those stay: hourly=24,daily=7,weekly=4")
    .action(async (name: string, { label, unlabel, protect, every, keep }: SetOptions) => {
      const scheduled = {
        ...(every !== undefined && { schedule: every }),
        ...(keep !== undefined && { keep }),
      };
      const nothing = label.length + unlabel.length + Object.keys(scheduled).length === 0;
      if (nothing && protect === undefined) {
        throw new UsageError(
          "Cannot set nothing: give --label, --unlabel, --protect, --no-protect, --every or --keep",
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
        ...(protect !== undefined && { protect, author: authorOf() }),
        ...scheduled,
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
