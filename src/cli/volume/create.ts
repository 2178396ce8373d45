import { Command } from "commander";
import { authorOf } from "../author.ts";
import type { Context } from "../context.ts";
import { collect, parsePairs } from "../pairs.ts";
import { printable } from "../printable.ts";
import { whileCopying } from "../progress.ts";

interface CreateOptions {
  readonly opt: readonly string[];
  readonly label: readonly string[];
  readonly size?: string;
  readonly pool?: string;
  readonly profile?: string;
  readonly uid?: string;
  readonly gid?: string;
  readonly mode?: string;
  readonly from?: string;
  readonly fromImage?: string;
  readonly path?: string;
  readonly every?: string;
  readonly keep?: string;
  readonly protect?: true;
}

/** `lagan volume create` */
export function createCommand(context: Context): Command {
  return new Command("create")
    .description("Make a volume; the same again is success")
    .argument("<name>", "name of the new volume")
    .option("--size <size>", "most that it may hold: 500M, 10G (1024s), 10GB (1000s)")
    .option("--pool <pool>", "where its bytes lie")
    .option("--profile <profile>", "named defaults of the configuration")
    .option("--uid <uid>", "owner of its root")
    .option("--gid <gid>", "group of its root")
    .option("--mode <mode>", "permission bits of its root, octal")
    .option("--label <key=value>", "a label; again for more", collect, [])
    .option("--from <snapshot>", "start from VOLUME@SNAPSHOT, or what VOLUME holds now")
    .option("--from-image <image>", "start from an image that is here; see: lagan image ls")
    .option("--path <directory>", "which directory of the image")
    .option("--every <duration>", "take a snapshot so often: 15m, 1h, 1d")
    .option("--keep <rules>", "which of those stay: hourly=24,daily=7,weekly=4")
    .option("--protect", "refuse to remove it")
    .option("-o, --opt <key=value>", "an option as docker volume create -o takes it", collect, [])
    .addHelpText("after", "\nExample: lagan volume create data --size 10G --label team=shop")
    .action(async (name: string, { opt, label, protect, ...values }: CreateOptions) => {
      const { every: schedule, fromImage: image, path, ...others } = values;
      const renamed = { schedule, "from-image": image, "from-image-path": path };
      const asked = Object.entries({ ...others, ...renamed });
      const given = asked.flatMap(([key, value]) =>
        value === undefined ? [] : [`${key}=${value}`],
      );
      if (protect === true) given.push("protect=true");
      const options = parsePairs("-o", [...opt, ...given]);
      const labels = parsePairs("--label", label);
      const client = await context.client();
      const created = client.createVolume({ name, options, labels, author: authorOf() });
      const volume = await whileCopying(context, name, created);
      context.out(`${printable(volume.name)}\n`);
    });
}
