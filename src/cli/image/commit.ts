import { Command } from "commander";
import { formatBytes } from "../../core/size.ts";
import { toFile, toStandardOutput, write } from "../archive.ts";
import type { Context } from "../context.ts";
import { UsageError } from "../exit-code.ts";
import { printable } from "../printable.ts";
import { withProgress } from "../progress.ts";
import { shortId } from "./fields.ts";

interface CommitOptions {
  readonly tag: string;
  readonly output?: string;
}

/** `lagan image commit` */
export function commitCommand(context: Context): Command {
  return new Command("commit")
    .description("Make an image of one layer from a snapshot: kept here, or written to a file")
    .argument("<ref>", "VOLUME@SNAPSHOT, VOLUME@BRANCH or VOLUME")
    .requiredOption("--tag <name:tag>", "name of the image")
    .option("-o, --output <file>", "a tar for docker load, skopeo and others; - is standard output")
    .addHelpText(
      "after",
      "\nExample: lagan image commit data@before --tag seed:1 -o - | docker load",
    )
    .action(async (ref: string, { tag, output }: CommitOptions) => {
      const { images } = await context.client();
      const tar = withProgress(context, images.commit(ref, tag), null);
      if (output === undefined) {
        const [image] = await images.import(tar, { tag });
        context.out(`${printable(image?.names[0] ?? tag)}\n`);
        context.err(`${shortId(image?.id ?? "")}: ${formatBytes(image?.sizeBytes ?? 0)}\n`);
        return;
      }
      if (output === "-" && context.terminal.columns !== undefined) {
        throw new UsageError("Cannot write an image to a terminal: give -o FILE, or > FILE");
      }
      const bytes =
        output === "-"
          ? await toStandardOutput(tar)
          : await toFile(output, (file) => write(file, tar));
      context.err(`${printable(tag)}: ${formatBytes(bytes)}\n`);
    });
}
