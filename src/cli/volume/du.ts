import { Command } from "commander";
import type { RestClient, WireVolumeAccount } from "../../api/rest/client.ts";
import { Failure } from "../../core/failure.ts";
import { formatBytes } from "../../core/size.ts";
import type { Context } from "../context.ts";
import { addListingOptions, type Listing, type ListingOptions, planListing } from "../listing.ts";
import { tellFailure } from "../many.ts";
import { formatLimit, formatMaybe } from "./fields.ts";

/** How many volumes are measured at once. */
const CONCURRENCY = 4;

/** What a volume, or one of its snapshots, holds. */
interface Row {
  readonly kind: "volume" | "snapshot";
  readonly name: string;
  readonly id: string;
  readonly trashed: boolean;
  readonly sizeBytes: number | null;
  /** Null: it was not measured. */
  readonly usedBytes: number | null;
  /** What it alone holds. */
  readonly ownBytes: number | null;
  /** What others hold as well. */
  readonly sharedBytes: number | null;
  /** Of a volume: with its snapshots, which go with it; at least. */
  readonly wouldFreeBytes: number | null;
}

const figure = (head: string, of: (row: Row) => number | null) => ({
  head,
  text: (row: Row) => formatMaybe(of(row)),
});
const bytes = (head: string, of: (row: Row) => number | null) => ({
  head,
  text: (row: Row) => String(of(row) ?? ""),
});

const LISTING: Listing<Row> = {
  fields: {
    Kind: { head: "KIND", text: ({ kind }) => kind },
    Name: { head: "NAME", text: ({ kind, name }) => (kind === "volume" ? name : `  ${name}`) },
    ID: { head: "ID", text: ({ id }) => id },
    Size: {
      head: "LIMIT",
      text: ({ kind, sizeBytes }) => (kind === "volume" ? formatLimit(sizeBytes) : ""),
    },
    SizeBytes: bytes("LIMIT BYTES", (row) => row.sizeBytes),
    Used: figure("USED", (row) => row.usedBytes),
    UsedBytes: bytes("USED BYTES", (row) => row.usedBytes),
    Own: figure("OWN", (row) => row.ownBytes),
    OwnBytes: bytes("OWN BYTES", (row) => row.ownBytes),
    Shared: figure("SHARED", (row) => row.sharedBytes),
    SharedBytes: bytes("SHARED BYTES", (row) => row.sharedBytes),
    WouldFree: figure("WOULD FREE", (row) => row.wouldFreeBytes),
    WouldFreeBytes: bytes("WOULD FREE BYTES", (row) => row.wouldFreeBytes),
    Where: { head: "WHERE", text: ({ trashed }) => (trashed ? "trash" : "") },
  },
  columns: ["Name", "Size", "Used", "Own", "Shared", "WouldFree", "Where"],
  handle: ({ name }) => name,
};

interface DuOptions extends ListingOptions {
  readonly measure?: true;
}

/** `lagan volume du` */
export function duCommand(context: Context): Command {
  const command = new Command("du")
    .description("What volumes and their snapshots hold, and what removing them would free")
    .argument(
      "[volume...]",
      "names of volumes, which are measured; none: all and the trash, from records",
    )
    .option("--measure", "also walk what no record tells the size of")
    .action(async (names: readonly string[], { measure, ...options }: DuOptions) => {
      const show = planListing(context, LISTING, options);
      const client = await context.client();
      const all = await client.listAccounts();
      const chosen = names.length === 0 ? all : await named(context, client, all, names);
      const measured = await measureAll(context, client, chosen, (one) =>
        names.length > 0 ? !one.trashed : measure === true && one.usedBytes === null,
      );
      if (names.length === 0) await tellMissing(context, client, measured);
      const rows = measured.flatMap(rowsOf);
      show(rows);
      const plain = options.json ?? options.quiet ?? options.format;
      if (plain === undefined) context.out(`\n${formatTotals(rows)}`);
    });
  return addListingOptions(command, LISTING);
}

/** The accounts of `names`; those that there are not are told. */
async function named(
  context: Context,
  client: RestClient,
  all: readonly WireVolumeAccount[],
  names: readonly string[],
): Promise<readonly WireVolumeAccount[]> {
  const found = await Promise.all(
    names.map((name) => client.getVolume(name).catch((thrown) => tellFailure(context, thrown))),
  );
  return found.flatMap((volume) => all.filter(({ id }) => id === volume?.id));
}

async function measureAll(
  context: Context,
  client: RestClient,
  accounts: readonly WireVolumeAccount[],
  isDue: (account: WireVolumeAccount) => boolean,
): Promise<readonly WireVolumeAccount[]> {
  const measured = [...accounts];
  const next = accounts.entries();
  const work = async (): Promise<void> => {
    for (const [index, account] of next) {
      if (!isDue(account)) continue;
      const { trashed, id, name } = account;
      const usage = await (trashed ? client.measureTrashed(id) : client.measureVolume(name)).catch(
        (thrown: unknown) => tellFailure(context, thrown),
      );
      if (usage === undefined) continue;
      measured[index] = { ...account, ...usage };
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  return measured;
}

/** Says why figures are missing: a pool that is down, or one that keeps no books. */
async function tellMissing(
  context: Context,
  client: RestClient,
  accounts: readonly WireVolumeAccount[],
): Promise<void> {
  const missing = accounts.filter((one) => one.usedBytes === null && !one.trashed);
  if (missing.length === 0) return;
  const health = new Map((await client.listVolumes()).map(({ id, health: of }) => [id, of]));
  let unmeasured = 0;
  for (const { id, name } of missing) {
    const found = health.get(id);
    if (found === undefined || found.state === "ok") unmeasured++;
    else {
      const message = `Cannot measure volume "${name}": ${found.why}`;
      tellFailure(context, new Failure("unavailable", message));
    }
  }
  if (unmeasured > 0) {
    context.err(
      `${unmeasured} not measured yet: their pool keeps no books; to walk them: lagan volume du --measure\n`,
    );
  }
}

function rowsOf(account: WireVolumeAccount): readonly Row[] {
  const { id, name, trashed, sizeBytes, usedBytes, exclusiveBytes, snapshots } = account;
  const own = snapshots.map((one) => one.exclusiveBytes);
  const wouldFree = exclusiveBytes === null ? null : sum([exclusiveBytes, ...own]);
  return [
    {
      ...{ kind: "volume", name, id, trashed, sizeBytes, usedBytes, ownBytes: exclusiveBytes },
      ...{ sharedBytes: sharedOf(account), wouldFreeBytes: wouldFree },
    },
    ...snapshots.map((one): Row => {
      const { usedBytes: used, exclusiveBytes: ownBytes } = one;
      return {
        ...{ kind: "snapshot", name: one.name, id: one.id, trashed: one.trashed || trashed },
        ...{ sizeBytes: null, usedBytes: used, ownBytes, sharedBytes: sharedOf(one) },
        wouldFreeBytes: ownBytes,
      };
    }),
  ];
}

function sharedOf(account: {
  readonly usedBytes: number | null;
  readonly exclusiveBytes: number | null;
}): number | null {
  const { usedBytes, exclusiveBytes } = account;
  if (usedBytes === null || exclusiveBytes === null) return null;
  return Math.max(0, usedBytes - exclusiveBytes);
}

function sum(figures: readonly (number | null)[]): number {
  return figures.reduce<number>((total, one) => total + (one ?? 0), 0);
}

function formatTotals(rows: readonly Row[]): string {
  const volumes = rows.filter(({ kind, trashed }) => kind === "volume" && !trashed);
  const snapshots = rows.filter(({ kind, trashed }) => kind === "snapshot" && !trashed);
  const trashed = rows.filter((row) => row.trashed);
  const used = formatBytes(sum(volumes.map(({ usedBytes }) => usedBytes)));
  const free = formatBytes(sum(trashed.map(({ ownBytes }) => ownBytes)));
  const what = volumes.length === 1 ? "1 volume holds" : `${volumes.length} volumes hold`;
  const kept = formatBytes(sum(snapshots.map(({ ownBytes }) => ownBytes)));
  const count = snapshots.length === 1 ? "1 snapshot" : `${snapshots.length} snapshots`;
  const history = snapshots.length === 0 ? "" : `; ${count} alone: ${kept}`;
  const inTrash =
    trashed.length === 0 ? "" : `; ${trashed.length} in the trash, emptying it would free ${free}`;
  return `${what} ${used}${history}${inTrash}\n`;
}
