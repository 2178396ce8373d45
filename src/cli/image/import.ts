import { stat } from "node:fs/promises";
import { Command } from "commander";
import type { WireImage } from "../../api/rest/client.ts";
import { formatReference, parseReference } from "../../core/image/reference.ts";
import { formatBytes } from "../../core/size.ts";
import { openArchive } from "../archive.ts";
import type { Context } from "../context.ts";
import { printable } from "../printable.ts";
import { whileCopying, withProgress } from "../progress.ts";
import { findLogin } from "./credentials.ts";
import { shortId } from "./fields.ts";
import { isLayout, packLayout } from "./layout.ts";

interface ImportOptions {
  readonly platform?: string;
  readonly tag?: string;
}

/** `lagan image import` */
export function importCommand(context: Context): Command {
  return new Command("import")
    .description("Bring an image from a file, a directory or its registry")
    .argument(
      "<source>",
      "a tar (OCI layout or docker save; - is standard input), the directory of an OCI layout, or NAME[:TAG]",
    )
    .option("--platform <os/architecture>", "which, of an image for several: linux/arm64")
    .option("--tag <name:tag>", "name that it gets in place of its own")
    .addHelpText("after", EXAMPLES)
    .action(async (source: string, options: ImportOptions) => {
      const images = await bring(context, source, options);
      for (const image of images) tell(context, image);
    });
}

const EXAMPLES = `
A file or directory that is there counts before a name; logins are those of docker login.
Examples: lagan image import app.tar
          docker save app | lagan image import -
          lagan image import registry.example/team/app:1`;

async function bring(
  context: Context,
  source: string,
  { platform, tag }: ImportOptions,
): Promise<readonly WireImage[]> {
  const { images } = await context.client();
  const query = {
    ...(platform !== undefined && { platform }),
    ...(tag !== undefined && { tag }),
  };
  if (await isFile(source)) {
    const { pieces, totalBytes } = await openSource(source);
    return images.import(withProgress(context, pieces, totalBytes), query);
  }
  const reference = parseReference(source);
  const login = await findLogin(reference.registry, process.env);
  const asked = images.pull({ reference: source, ...query }, login);
  return whileCopying(context, formatReference(reference), asked);
}

async function openSource(source: string) {
  const isDirectory = source !== "-" && (await stat(source).catch(() => null))?.isDirectory();
  return isDirectory === true ? packLayout(source) : openArchive(source);
}

/** What looks like a path is one; another word only when there is such a file, or a layout. */
async function isFile(source: string): Promise<boolean> {
  if (source === "-" || /^\.{0,2}\/|^\.{1,2}$|\.(tar|tgz|tar\.gz|tar\.zst)$/.test(source)) {
    return true;
  }
  const found = await stat(source).catch(() => undefined);
  return found?.isDirectory() === true ? isLayout(source) : found !== undefined;
}

function tell(context: Context, { names, id, layers, sizeBytes }: WireImage): void {
  context.out(`${printable(names[0] ?? shortId(id))}\n`);
  const unnamed = names.length === 0 ? "; it has no name: give it one with --tag" : "";
  context.err(`${shortId(id)}: ${layers.length} layers, ${formatBytes(sizeBytes)}${unnamed}\n`);
}
