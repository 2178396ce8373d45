import { Command } from "commander";
import type { Context } from "../context.ts";
import { createCommand } from "./create.ts";
import { duCommand } from "./du.ts";
import { inspectCommand, lsCommand } from "./ls.ts";
import { pruneCommand } from "./prune.ts";
import { resizeCommand } from "./resize.ts";
import { rmCommand } from "./rm.ts";
import { renameCommand, setCommand } from "./set.ts";

/** `lagan volume …` */
export function volumeCommand(context: Context): Command {
  return new Command("volume")
    .description("Volumes: storage that outlives the containers that use it")
    .addCommand(createCommand(context))
    .addCommand(lsCommand(context))
    .addCommand(inspectCommand(context))
    .addCommand(rmCommand(context))
    .addCommand(renameCommand(context))
    .addCommand(setCommand(context))
    .addCommand(resizeCommand(context))
    .addCommand(pruneCommand(context))
    .addCommand(duCommand(context));
}
