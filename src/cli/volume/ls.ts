import { Command } from "commander";
import type { WireVolume } from "../../api/rest/client.ts";
import { formatBytes } from "../../core/size.ts";
import { formatAge, formatDuration } from "../age.ts";
import type { Context } from "../context.ts";
import { UsageError } from "../exit-code.ts";
import { addListingOptions, formatDetails, type ListingOptions, planListing } from "../listing.ts";
import { forEachTarget } from "../many.ts";
import { collect } from "../pairs.ts";
import { printableJson } from "../printable.ts";
import { parseTemplate, TEMPLATE_HELP } from "../template.ts";
import { formatLabels, formatLimit, volumeFields, volumeListing } from "./fields.ts";

interface LsOptions extends ListingOptions {
  readonly label: readonly string[];
  readonly pool?: string;
}

/** `lagan volume ls` */
export function lsCommand(context: Context): Command {
  const listing = volumeListing(context);
  const command = new Command("ls")
    .description("List volumes by name")
    .option("--label <key[=value]>", "only with this label; again: with all of them", collect, [])
    .option("--pool <pool>", "only in this pool")
    .action(async (options: LsOptions) => {
      const show = planListing(context, listing, options);
      const { label: labels, pool } = options;
      const client = await context.client();
      show(await client.listVolumes({ labels, ...(pool !== undefined && { pool }) }));
    });
  return addListingOptions(command, listing);
}

/** `lagan volume inspect` */
export function inspectCommand(context: Context): Command {
  return new Command("inspect")
    .description("Show all there is to know about volumes")
    .argument("<volume...>", "names of volumes")
    .option("--json", "a JSON array, as the API gives it")
    .option("--format <template>", TEMPLATE_HELP)
    .action(async (names: readonly string[], { json, format }: ListingOptions) => {
      if (json === true && format !== undefined) {
        throw new UsageError("Cannot combine --json and --format: give one of them");
      }
      const template =
        format === undefined ? undefined : parseTemplate(format, volumeFields(context));
      const client = await context.client();
      const found: WireVolume[] = [];
      await forEachTarget(context, names, async (name) => {
        found.push(await client.getVolume(name));
      });
      if (json === true) context.out(`${printableJson(found, 2)}\n`);
      else if (template !== undefined)
        for (const one of found) context.out(`${template.apply(one)}\n`);
      else context.out(found.map((volume) => formatVolume(volume, context.now())).join("\n"));
    });
}

function formatVolume(volume: WireVolume, nowMs: number): string {
  const { sizeBytes, usedBytes, usedAt, health, options, labels } = volume;
  const { protection, schedule } = volume;
  const measured = usedBytes === null || usedAt === null;
  return formatDetails([
    ["Name", volume.name],
    ["ID", volume.id],
    ["Pool", `${volume.pool} (driver ${volume.driver})`],
    ...(volume.block ? [["Kind", "block device, for clients of CSI"] as const] : []),
    ["Limit", sizeBytes === null ? "none" : `${formatLimit(sizeBytes)} (${sizeBytes} bytes)`],
    [
      "Used",
      measured
        ? `not measured yet; to measure: lagan volume du ${volume.name}`
        : `${formatBytes(usedBytes)} (${usedBytes} bytes), measured ${formatAge(usedAt, nowMs)}`,
    ],
    ["Status", health.state === "ok" ? "ok" : `${health.state}: ${health.why}`],
    ["Mounts", String(volume.mounts)],
    ["Directory", volume.path ?? "none but while it is used"],
    ["Protected", protection === null ? "no" : `by ${protection.by} at ${protection.at}`],
    ["History", formatHistory(volume)],
    ["Schedule", schedule === null ? "none" : `every ${schedule.every}, keep ${schedule.keep}`],
    ...formatStatus(volume, nowMs),
    ["Owner", `${options.uid}:${options.gid}, mode ${options.mode}, when it was made`],
    ["Profile", options.profile ?? "none"],
    ["Labels", formatLabels(labels) || "none"],
    ["Created", `${volume.createdAt} (${formatAge(volume.createdAt, nowMs)})`],
  ]);
}

function formatHistory({ name, tip, from, image, branch }: WireVolume): string {
  const stands = tip === null ? "no snapshot yet" : `stands on ${tip}`;
  const origin = image === null ? from : `/${image.path} of image ${image.reference}`;
  const made = origin === null ? "" : `, made from ${origin}`;
  return `${stands}${made}${branch === null ? "" : ", a branch"}; see: lagan log ${name}`;
}

/** Where the schedule stands: last, next, kept, and what would be lost now. */
function formatStatus(
  { scheduleStatus: status }: WireVolume,
  nowMs: number,
): readonly (readonly [string, string])[] {
  if (status === null || status === undefined) return [];
  const { lastAt, nextAt, kept, lossWindowMs, failing } = status;
  const last = lastAt === null ? "none yet" : formatAge(lastAt, nowMs);
  const next = Date.parse(nextAt) <= nowMs ? "within a minute" : formatAge(nextAt, nowMs);
  const loss =
    lossWindowMs === null
      ? "everything: there is no snapshot"
      : `what was written in the last ${formatDuration(lossWindowMs)}`;
  return [
    ["  last, next", `${last}, ${next}; ${kept} kept`],
    ["  would be lost now", loss],
    ...(failing === null ? [] : [["  failing", failing] as const]),
  ];
}
