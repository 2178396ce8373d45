import { Command } from "commander";
import type { WireProfile } from "../api/rest/client.ts";
import { formatBytes, parseSizeBytes } from "../core/size.ts";
import type { Context } from "./context.ts";
import {
  addListingOptions,
  formatDetails,
  type Listing,
  type ListingOptions,
  planListing,
} from "./listing.ts";
import { forEachTarget } from "./many.ts";
import { collect, parsePairs } from "./pairs.ts";
import { printable, printableJson } from "./printable.ts";

/** `lagan profile …` */
export function profileCommand(context: Context): Command {
  return new Command("profile")
    .description("Profiles: named defaults for new volumes")
    .addCommand(createCommand(context))
    .addCommand(lsCommand(context))
    .addCommand(inspectCommand(context))
    .addCommand(rmCommand(context));
}

interface CreateOptions {
  readonly every?: string;
  readonly keep?: string;
  readonly size?: string;
  readonly pool?: string;
  readonly opt: readonly string[];
  readonly label: readonly string[];
}

function createCommand(context: Context): Command {
  return new Command("create")
    .description("Make a profile; the same again is success")
    .argument("<name>", "name of the new profile")
    .option("--every <duration>", "take a snapshot so often: 15m, 1h, 1d")
    .option("--keep <rules>", "which of those stay: hourly=24,daily=7,weekly=4")
    .option("--size <size>", "most that a volume may hold")
    .option("--pool <pool>", "where its bytes lie")
    .option("--label <key=value>", "a label; again for more", collect, [])
    .option("-o, --opt <key=value>", "an option as docker volume create -o takes it", collect, [])
    .action(async (name: string, { every, keep, size, pool, opt, label }: CreateOptions) => {
      const given = Object.entries({ schedule: every, keep, size, pool }).flatMap(([key, value]) =>
        value === undefined ? [] : [`${key}=${value}`],
      );
      const labels = label.map((pair) => `label.${pair}`);
      const options = parsePairs("-o", [...opt, ...given, ...labels]);
      const made = await (await context.client()).createProfile({ name, options });
      context.out(`${printable(made.name)}\n`);
    });
}

function lsCommand(context: Context): Command {
  const option = (key: string) => (profile: WireProfile) => profile.options[key] ?? "";
  const listing: Listing<WireProfile> = {
    fields: {
      Name: { head: "NAME", text: ({ name }) => name },
      Size: { head: "SIZE", text: ({ options }) => sizeOf(options["size"]) },
      Pool: { head: "POOL", text: option("pool") },
      Every: { head: "EVERY", text: option("schedule") },
      Keep: { head: "KEEP", text: option("keep") },
      Options: { head: "OPTIONS", text: formatOptions },
      Where: { head: "WHERE", text: ({ createdAt }) => (createdAt === null ? "lagan.yaml" : "") },
    },
    columns: ["Name", "Size", "Every", "Keep", "Where"],
    handle: ({ name }) => name,
  };
  const command = new Command("ls")
    .description("List profiles")
    .action(async (options: ListingOptions) => {
      const show = planListing(context, listing, options);
      show(await (await context.client()).listProfiles());
    });
  return addListingOptions(command, listing);
}

function inspectCommand(context: Context): Command {
  return new Command("inspect")
    .description("Show what profiles say")
    .argument("<profile...>", "names of profiles")
    .option("--json", "a JSON array, as the API gives it")
    .action(async (names: readonly string[], { json }: { readonly json?: true }) => {
      const client = await context.client();
      const found: WireProfile[] = [];
      await forEachTarget(context, names, async (name) => {
        found.push(await client.getProfile(name));
      });
      if (json === true) context.out(`${printableJson(found, 2)}\n`);
      else context.out(found.map(formatProfile).join("\n"));
    });
}

function rmCommand(context: Context): Command {
  return new Command("rm")
    .description("Remove profiles; volumes made with them keep what they have")
    .argument("<profile...>", "names of profiles")
    .action(async (names: readonly string[]) => {
      const client = await context.client();
      await forEachTarget(context, names, async (name) => {
        context.out(`${printable((await client.removeProfile(name)).name)}\n`);
      });
    });
}

function formatProfile({ name, options, createdAt }: WireProfile): string {
  return formatDetails([
    ["Name", name],
    ...Object.entries(options).map(
      ([key, value]) => [key, key === "size" ? sizeOf(value) : value] as const,
    ),
    ["Created", createdAt ?? "in lagan.yaml"],
  ]);
}

/** As people read it: what is kept are bytes. */
function sizeOf(size: string | undefined): string {
  return size === undefined ? "" : formatBytes(parseSizeBytes(size));
}

function formatOptions({ options }: WireProfile): string {
  return Object.entries(options)
    .map(([key, value]) => `${key}=${value}`)
    .join(" ");
}
