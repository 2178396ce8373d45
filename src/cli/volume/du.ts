import { Command } from "commander";
import type { RestClient, WireUsage, WireVolume } from "../../api/rest/client.ts";
import { formatBytes } from "../../core/size.ts";
import type { Context } from "../context.ts";
import { addListingOptions, type Listing, type ListingOptions, planListing } from "../listing.ts";
import { tellFailure } from "../many.ts";
import { formatLimit, formatMaybe } from "./fields.ts";

/** How many volumes are measured at once. */
const CONCURRENCY = 4;

/** What one volume holds. */
interface Row {
  readonly name: string;
  readonly id: string;
  readonly trashed: boolean;
  readonly sizeBytes: number | null;
  /** Null: it could not be measured, and standard error says why. */
  readonly usedBytes: number | null;
  readonly wouldFreeBytes: number | null;
}

const LISTING: Listing<Row> = {
  fields: {
    Name: { head: "NAME", text: ({ name }) => name },
    ID: { head: "ID", text: ({ id }) => id },
    Size: { head: "LIMIT", text: ({ sizeBytes }) => formatLimit(sizeBytes) },
    SizeBytes: { head: "LIMIT BYTES", text: ({ sizeBytes }) => String(sizeBytes ?? "") },
    Used: { head: "USED", text: ({ usedBytes }) => formatMaybe(usedBytes) },
    UsedBytes: { head: "USED BYTES", text: ({ usedBytes }) => String(usedBytes ?? "") },
    WouldFree: { head: "WOULD FREE", text: ({ wouldFreeBytes }) => formatMaybe(wouldFreeBytes) },
    WouldFreeBytes: {
      head: "WOULD FREE BYTES",
      text: ({ wouldFreeBytes }) => String(wouldFreeBytes ?? ""),
    },
    Where: { head: "WHERE", text: ({ trashed }) => (trashed ? "trash" : "") },
  },
  columns: ["Name", "Size", "Used", "WouldFree", "Where"],
  handle: ({ name }) => name,
};

/** `lagan volume du` */
export function duCommand(context: Context): Command {
  const command = new Command("du")
    .description("Measure what volumes hold, and what removing them would free")
    .argument("[volume...]", "names of volumes; none: all, and the trash")
    .action(async (names: readonly string[], options: ListingOptions) => {
      const show = planListing(context, LISTING, options);
      const client = await context.client();
      const rows = await measureAll(context, await targetsOf(context, client, names));
      show(rows);
      const plain = options.json ?? options.quiet ?? options.format;
      if (plain === undefined) context.out(`\n${formatTotals(rows)}`);
    });
  return addListingOptions(command, LISTING);
}

interface Target {
  readonly volume: WireVolume;
  readonly trashed: boolean;
  readonly measure: () => Promise<WireUsage>;
}

async function targetsOf(
  context: Context,
  client: RestClient,
  names: readonly string[],
): Promise<readonly Target[]> {
  const live = (volume: WireVolume): Target => {
    return { volume, trashed: false, measure: () => client.measureVolume(volume.name) };
  };
  if (names.length > 0) {
    const found = await Promise.all(
      names.map((name) => client.getVolume(name).catch((thrown) => tellFailure(context, thrown))),
    );
    return found.flatMap((volume) => (volume === undefined ? [] : [live(volume)]));
  }
  const trash = (await client.listTrash()).map((volume): Target => {
    return { volume, trashed: true, measure: () => client.measureTrashed(volume.id) };
  });
  return [...(await client.listVolumes()).map(live), ...trash];
}

async function measureAll(context: Context, targets: readonly Target[]): Promise<readonly Row[]> {
  const rows: Row[] = [];
  const next = targets.entries();
  const work = async (): Promise<void> => {
    for (const [index, { volume, trashed, measure }] of next) {
      const usage = await measure().catch((thrown: unknown) => {
        tellFailure(context, thrown);
        return undefined;
      });
      const { name, id, sizeBytes } = volume;
      rows[index] = {
        ...{ name, id, trashed, sizeBytes },
        usedBytes: usage?.usedBytes ?? null,
        wouldFreeBytes: usage?.exclusiveBytes ?? null,
      };
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  return rows;
}

function formatTotals(rows: readonly Row[]): string {
  const live = rows.filter(({ trashed }) => !trashed);
  const trashed = rows.filter((row) => row.trashed);
  const sum = (figures: readonly (number | null)[]): string => {
    return formatBytes(figures.reduce<number>((total, figure) => total + (figure ?? 0), 0));
  };
  const used = sum(live.map(({ usedBytes }) => usedBytes));
  const free = sum(trashed.map(({ wouldFreeBytes }) => wouldFreeBytes));
  const inTrash =
    trashed.length === 0 ? "" : `; ${trashed.length} in the trash, emptying it would free ${free}`;
  const what = live.length === 1 ? "1 volume holds" : `${live.length} volumes hold`;
  return `${what} ${used}${inTrash}\n`;
}
