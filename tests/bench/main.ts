import { cpus, loadavg, release, totalmem } from "node:os";
import { benchArchive } from "./archive.ts";
import { benchCsi } from "./csi.ts";
import { formatTarget, formatValue, isMet, type Table } from "./figure.ts";
import { benchFio } from "./fio.ts";
import { benchGraph } from "./graph.ts";
import { benchGrowth, GROWING, type Growing } from "./growth.ts";
import { HISTORY } from "./history.ts";
import { benchImages, IMAGE_FILES } from "./images.ts";
import { benchKernel } from "./kernel.ts";
import { benchMemory } from "./memory.ts";
import { benchRun } from "./run.ts";
import { benchSnapshotter, SNAPSHOTTERS } from "./snapshotter.ts";
import { benchCalls } from "./snapshotter-calls.ts";

const USAGE = `usage: npm run bench -- [--operations=N] [--rounds=N] [--volumes=N] [--files=N] [NAME...]
names: run, ${GROWING.join(", ")}, memory, kernel, archive, fio, history, graph, csi, images, calls, ${Object.keys(SNAPSHOTTERS).join(", ")}; none means all`;

/** Mounts and Unmounts of the memory benchmark unless told. */
const OPERATIONS = 20_000;
/** Rounds of the benchmarks of layers unless told. */
const ROUNDS = 15;
/** Rounds of those that import a gigabyte in each. */
const IMPORT_ROUNDS = 10;
/** Rounds of export and import unless told, and their small files. */
const TURNS = 5;
const ARCHIVED_FILES = 10_000;
/** Volumes of the CSI benchmark unless told. */
const VOLUMES = 1_000;

function print({ title, rows }: Table): void {
  console.log(`\n## ${title}\n\nLoad average of the machine: ${loadavg()[0]?.toFixed(1)}\n`);
  console.log("| what | figure | target | verdict | note |\n|---|---|---|---|---|");
  for (const figure of rows) {
    const met = isMet(figure);
    const verdict = met === undefined ? "" : met ? "met" : "NOT MET";
    const value = formatValue(figure.value, figure.unit);
    console.log(
      `| ${figure.what} | ${value} | ${formatTarget(figure)} | ${verdict} | ${figure.note ?? ""} |`,
    );
  }
}

/** The number of an option such as `--rounds=`; undefined when it was not given. */
function numberIn(args: readonly string[], option: string): number | undefined {
  const given = args.find((arg) => arg.startsWith(option));
  return given === undefined ? undefined : Number(given.slice(option.length));
}

async function main(args: readonly string[]): Promise<number> {
  const operations = numberIn(args, "--operations=") ?? OPERATIONS;
  const rounds = numberIn(args, "--rounds=") ?? ROUNDS;
  const importRounds = numberIn(args, "--rounds=") ?? IMPORT_ROUNDS;
  const volumes = numberIn(args, "--volumes=") ?? VOLUMES;
  const files = numberIn(args, "--files=") ?? IMAGE_FILES;
  const archived = numberIn(args, "--files=") ?? ARCHIVED_FILES;
  const turns = numberIn(args, "--rounds=") ?? TURNS;
  const names = args.filter((arg) => !/^--(operations|rounds|volumes|files)=/.test(arg));
  const known: readonly string[] = [
    "run",
    ...GROWING,
    "memory",
    "kernel",
    "archive",
    "fio",
    "history",
    "graph",
    "csi",
    "images",
    "calls",
    ...Object.keys(SNAPSHOTTERS),
  ];
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0 || !(operations > 0) || !(rounds > 0) || !(volumes > 0)) {
    console.error(USAGE);
    return 2;
  }
  const wanted = new Set(names.length === 0 ? known : names);
  const [cpu] = cpus();
  console.log(
    `${cpus().length} cores of ${cpu?.model ?? "?"}, ${Math.round(totalmem() / 1e9)} GB, kernel ${release()}, Node ${process.version}`,
  );
  const growing = new Set(GROWING.filter((name) => wanted.has(name)));
  const benches: readonly (readonly [boolean, () => Promise<readonly Table[]>])[] = [
    [wanted.has("run"), benchRun],
    [growing.size > 0, () => benchGrowth(growing satisfies ReadonlySet<Growing>)],
    [wanted.has("memory"), () => benchMemory(operations)],
    [wanted.has("kernel"), benchKernel],
    [wanted.has("archive"), () => benchArchive(turns, archived)],
    [wanted.has("fio"), benchFio],
    [wanted.has("graph"), () => benchGraph(rounds)],
    [wanted.has("csi"), () => benchCsi(volumes)],
    [wanted.has("images"), () => benchImages(rounds, files)],
    [wanted.has("calls"), () => benchCalls(rounds)],
    ...Object.entries(SNAPSHOTTERS).map(
      ([name, pair]) =>
        [wanted.has(name), async () => [await benchSnapshotter(pair, importRounds)]] as const,
    ),
    ...HISTORY.map((bench) => [wanted.has("history"), bench] as const),
  ];
  for (const [chosen, bench] of benches) {
    if (chosen) for (const table of await bench()) print(table);
  }
  return 0;
}

process.exitCode = await main(process.argv.slice(2));
