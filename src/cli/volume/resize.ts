import { Command } from "commander";
import { parseSizeBytes } from "../../core/size.ts";
import type { Context } from "../context.ts";
import { printable } from "../printable.ts";
import { formatLimit } from "./fields.ts";

/** `lagan volume resize` */
export function resizeCommand(context: Context): Command {
  return new Command("resize")
    .description("Change how much a volume may hold, while it is used")
    .argument("<volume>", "name of a volume")
    .argument("<size>", "500M, 10G (1024s), 10GB (1000s), or none")
    .action(async (name: string, size: string) => {
      const sizeBytes = size === "none" ? null : parseSizeBytes(size);
      const client = await context.client();
      const changed = await client.changeVolume(name, { sizeBytes });
      context.out(`${printable(changed.name)}: ${formatLimit(changed.sizeBytes)}\n`);
    });
}
