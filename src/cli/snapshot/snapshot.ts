import { Command } from "commander";
import type { RestClient, TakeBody, WireSnapshot } from "../../api/rest/client.ts";
import { formatAge } from "../age.ts";
import { authorOf } from "../author.ts";
import type { Context } from "../context.ts";
import { UsageError } from "../exit-code.ts";
import { addListingOptions, formatDetails, type ListingOptions, planListing } from "../listing.ts";
import { forEachTarget } from "../many.ts";
import { collect, parsePairs } from "../pairs.ts";
import { printable, printableJson } from "../printable.ts";
import { whileCopying } from "../progress.ts";
import { tellQuiet } from "../quiet.ts";
import { parsePoint } from "../ref.ts";
import { formatLabels, formatMaybe } from "../volume/fields.ts";
import { refOf, snapshotListing } from "./fields.ts";

/** `lagan snapshot …` */
export function snapshotCommand(context: Context): Command {
  return new Command("snapshot")
    .description("Snapshots: points of a volume's history")
    .addCommand(createCommand(context))
    .addCommand(lsCommand(context))
    .addCommand(inspectCommand(context))
    .addCommand(setCommand(context))
    .addCommand(rmCommand(context));
}

interface CreateOptions {
  readonly message?: string;
  readonly name?: string;
  readonly group?: string;
  readonly label: readonly string[];
  readonly pause?: true;
  readonly stop?: true;
}

function createCommand(context: Context): Command {
  return new Command("create")
    .description("Take a snapshot of what volumes hold now")
    .argument("<volume...>", "names of volumes or branches")
    .option("-m, --message <message>", "what for")
    .option("--name <name>", "a name for it, beside its id")
    .option("--label <key=value>", "a label; again for more", collect, [])
    .option("--group <name>", "of all of them together, near one instant")
    .option("--pause", "pause the containers that use them meanwhile")
    .option("--stop", "stop the containers that use them meanwhile")
    .addHelpText("after", '\nExample: lagan snapshot create data -m "before the upgrade"')
    .action(async (volumes: readonly string[], options: CreateOptions) => {
      const { message, name, group, pause, stop } = options;
      if (pause === true && stop === true) {
        throw new UsageError("Cannot combine --pause and --stop: give one of them");
      }
      if (volumes.length > 1 && name !== undefined) {
        throw new UsageError("Cannot give one name to several snapshots: use --group");
      }
      if (group !== undefined && (name !== undefined || options.label.length > 0)) {
        throw new UsageError("Cannot combine --group with --name or --label");
      }
      const body: TakeBody = {
        author: authorOf(),
        ...(message !== undefined && { message }),
        ...(pause === true && { quiet: "pause" }),
        ...(stop === true && { quiet: "stop" }),
      };
      const client = await context.client();
      if (group !== undefined) {
        const taken = await client.takeGroup({ ...body, group, volumes });
        for (const one of taken.snapshots) context.out(`${printable(refOf(one))}\n`);
        const { skewMs } = taken;
        const apart = `Within ${Math.ceil(skewMs)} ms of each other`;
        context.err(`${skewMs === 0 ? "Of one instant" : apart}\n`);
        tellQuiet(context, taken);
        return;
      }
      const labels = parsePairs("--label", options.label);
      await forEachTarget(context, volumes, async (volume) => {
        const named = name === undefined ? {} : { name };
        const asked = client.takeSnapshot(volume, { ...body, ...named, labels });
        const taken = await whileCopying(context, volume, asked);
        context.out(`${printable(refOf(taken))}\n`);
        tellQuiet(context, taken);
      });
    });
}

function lsCommand(context: Context): Command {
  const listing = snapshotListing(context, ["Ref", "Volume", "Created", "Own", "Cause", "Message"]);
  const command = new Command("ls")
    .description("List snapshots, newest first")
    .argument("[volume]", "only its own")
    .action(async (volume: string | undefined, options: ListingOptions) => {
      const show = planListing(context, listing, options);
      const client = await context.client();
      show(
        volume === undefined
          ? await client.listAllSnapshots()
          : (await client.listSnapshots(volume)).toReversed(),
      );
    });
  return addListingOptions(command, listing);
}

function inspectCommand(context: Context): Command {
  return new Command("inspect")
    .description("Show all there is to know about snapshots")
    .argument("<snapshot...>", "VOLUME@SNAPSHOT")
    .option("--json", "a JSON array, as the API gives it")
    .action(async (refs: readonly string[], { json }: { readonly json?: true }) => {
      const client = await context.client();
      const found: WireSnapshot[] = [];
      await forEachTarget(context, refs, async (ref) => {
        found.push(await get(client, ref));
      });
      if (json === true) context.out(`${printableJson(found, 2)}\n`);
      else context.out(found.map((one) => formatSnapshot(one, context.now())).join("\n"));
    });
}

interface SetOptions {
  readonly name?: string;
  readonly unname?: true;
  readonly message?: string;
  readonly label: readonly string[];
  readonly unlabel: readonly string[];
  readonly protect?: boolean;
}

function setCommand(context: Context): Command {
  return new Command("set")
    .description("Change name, message, labels and protection of a snapshot")
    .argument("<snapshot>", "VOLUME@SNAPSHOT")
    .option("--name <name>", "another name")
    .option("--unname", "take its name away")
    .option("-m, --message <message>", "another message")
    .option("--label <key=value>", "add or replace a label; again for more", collect, [])
    .option("--unlabel <key>", "take a label away; again for more", collect, [])
    .option("--protect", "refuse to remove it")
    .option("--no-protect", "allow to remove it")
    .action(async (ref: string, { unname, label, unlabel, ...options }: SetOptions) => {
      const { name, message, protect } = options;
      const pairs = Object.entries(parsePairs("--label", label));
      const labels = new Map<string, string | null>(pairs);
      for (const key of unlabel) labels.set(key, null);
      const change = {
        ...(unname === true && { name: null }),
        ...(name !== undefined && { name }),
        ...(message !== undefined && { message }),
        ...(labels.size > 0 && { labels: Object.fromEntries(labels) }),
        ...(protect !== undefined && { protect }),
      };
      if (Object.keys(change).length === 0) {
        throw new UsageError(
          "Cannot set nothing: give --name, --unname, --message, --label, --unlabel, --protect or --no-protect",
        );
      }
      const { volume, snapshot } = parsePoint(ref);
      const client = await context.client();
      const author = authorOf();
      const changed = await client.changeSnapshot(volume, snapshot, { ...change, author });
      context.out(`${printable(refOf(changed))}\n`);
    });
}

function rmCommand(context: Context): Command {
  return new Command("rm")
    .description("Put snapshots into the trash, from which they can come back")
    .argument("<snapshot...>", "VOLUME@SNAPSHOT")
    .action(async (refs: readonly string[]) => {
      const client = await context.client();
      await forEachTarget(context, refs, async (ref) => {
        const { volume, snapshot } = parsePoint(ref);
        const removed = await client.removeSnapshot(volume, snapshot);
        const { expiresAt, trashedAt } = removed;
        const shown = printable(refOf(removed));
        const back = `${removed.volume.split("@")[0]}@${removed.id}`;
        const until = expiresAt === null ? "" : ` (expires ${formatAge(expiresAt, context.now())})`;
        context.out(
          expiresAt === trashedAt
            ? `${shown}: removed for good (the trash is turned off)\n`
            : `${shown}: in the trash${until}; to get it back: lagan trash restore ${printable(back)}\n`,
        );
      });
    });
}

function get(client: RestClient, ref: string): Promise<WireSnapshot> {
  const { volume, snapshot } = parsePoint(ref);
  return client.getSnapshot(volume, snapshot);
}

function formatSnapshot(snapshot: WireSnapshot, nowMs: number): string {
  const { protection, createdAt } = snapshot;
  return formatDetails([
    ["Snapshot", refOf(snapshot)],
    ["ID", `${snapshot.id} (${snapshot.uuid})`],
    ["Volume", `${snapshot.volume}${snapshot.tip ? ", whose head stands on it" : ""}`],
    ["Message", snapshot.message || "none"],
    ["Author", snapshot.author],
    ["Created", `${createdAt} (${formatAge(createdAt, nowMs)})`],
    ["Cause", snapshot.cause],
    ["Consistency", snapshot.consistency],
    ["Group", snapshot.group ?? "none"],
    ["Used", formatMaybe(snapshot.usedBytes)],
    ["Own", `${formatMaybe(snapshot.exclusiveBytes)}: removing it would free so much`],
    ["Protected", protection === null ? "no" : `by ${protection.by} at ${protection.at}`],
    ["Labels", formatLabels(snapshot.labels) || "none"],
  ]);
}
