import { Command } from "commander";
import type { Context } from "../context.ts";
import { commitCommand } from "./commit.ts";
import { importCommand } from "./import.ts";
import { historyCommand, inspectCommand, lsCommand } from "./ls.ts";
import { pruneCommand, rmCommand } from "./rm.ts";

/** `lagan image …` */
export function imageCommand(context: Context): Command {
  return new Command("image")
    .description("Images, whose layers are here: volumes start from them")
    .addCommand(importCommand(context))
    .addCommand(lsCommand(context))
    .addCommand(historyCommand(context))
    .addCommand(inspectCommand(context))
    .addCommand(rmCommand(context))
    .addCommand(pruneCommand(context))
    .addCommand(commitCommand(context));
}
