import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { open, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { hostTreeDiff } from "../../src/host/tree-diff.ts";
import { succeeded } from "../real/command.ts";
import { DIRECTORY_POOL, NODE_ENVIRONMENT } from "../real/lagand.ts";
import { Machine } from "../real/machine.ts";
import { callPlugin } from "../real/unix-http.ts";
import { type Figure, median, type Table } from "./figure.ts";

const runFile = promisify(execFile);
const MB = 1e6;
const LARGE_BYTES = 1024 ** 3;
const FILES_A_DIRECTORY = 100;
/** The tree of small files alone has so many times as many: the start of the command counts as well. */
const MORE = 5;
const COMPARED_FILES = 100_000;
const COMPARE_ROUNDS = 3;
/** What a comparison of so many may take, in milliseconds. */
const COMPARE_TARGET_MS = 5000;
const RATIO = { atLeast: 0.8 };

const LAGAN = join(import.meta.dirname, "../../src/bin/lagan.ts");
const { signal } = new AbortController();
/** As people would run it for a whole tree: with all that ours keeps. */
const TAR = "tar --format=posix --numeric-owner --acls --xattrs '--xattrs-include=*' --sparse";

/**
 * `lagan export` and `lagan import` as users run them, against GNU tar on the same tree and file system, in turns; and how long
 * two large trees take to compare.
 *
 * @param files How many small files lie beside the large one.
 */
export async function benchArchive(rounds: number, files: number): Promise<readonly Table[]> {
  await using machine = await Machine.create();
  await machine.lagand.start({ config: DIRECTORY_POOL });
  const bench: Bench = { machine, rounds, archive: machine.path("archive.tar") };
  const mixed = { volume: "mixed", files, largeBytes: LARGE_BYTES };
  const small = { volume: "small", files: files * MORE, largeBytes: 0 };
  const rows = [
    ...(await throughput(bench, mixed, `${files} small files and 1 GiB`)),
    ...(await throughput(bench, small, `${small.files} small files`)),
    await start(bench),
  ];
  const title = `export and import, ours against GNU tar, ${rounds} rounds`;
  const diff = await compareTrees(machine.path("compared"));
  return [
    { title, rows },
    { title: "two trees compared", rows: diff },
  ];
}

interface Bench {
  readonly machine: Machine;
  readonly rounds: number;
  /** Where the archive is made. */
  readonly archive: string;
}

interface Tree {
  readonly volume: string;
  readonly files: number;
  readonly largeBytes: number;
}

/** Makes a volume; resolves to where its content is. */
async function makeVolume(
  { machine }: Bench,
  { volume, files, largeBytes }: Tree,
): Promise<string> {
  await machine.mustLagan("volume", "create", volume);
  const asked = { Name: volume };
  const answer = await callPlugin(machine.lagand.pluginSocketPath, "/VolumeDriver.Path", asked);
  const path = String(answer.json?.["Mountpoint"]);
  const root = machine.namespace.inside(path);
  // Of 2 to 6 KB.
  for (let n = 0; n < files; n++) {
    const directory = `${root}/${Math.floor(n / FILES_A_DIRECTORY)}`;
    if (n % FILES_A_DIRECTORY === 0) mkdirSync(directory);
    writeFileSync(`${directory}/${n}`, randomBytes(2048 + (n % 4096)));
  }
  if (largeBytes > 0) {
    await using file = await open(`${root}/large`, "wx");
    for (let at = 0; at < largeBytes; at += 1024 ** 2) await file.write(randomBytes(1024 ** 2));
  }
  return path;
}

async function throughput(bench: Bench, made: Tree, what: string): Promise<readonly Figure[]> {
  const { archive, machine } = bench;
  const { volume } = made;
  const tree = await makeVolume(bench, made);
  const [target, copy] = [machine.path("target"), `${volume}-copy`];
  /** Neither side pays for what the other has left to write: not the whole machine, which waits for whatever else writes on it. */
  const settle = `sync --file-system ${machine.path()}`;
  const exporting = await inTurns(
    bench,
    {
      ours: `$LAGAN export ${volume} > ${archive}`,
      theirs: `${TAR} --create --file ${archive} --directory ${tree} .`,
    },
    `rm -f ${archive}; ${settle}`,
  );
  const piping = await inTurns(
    bench,
    {
      ours: `$LAGAN export ${volume} | cat > /dev/null`,
      // Into a pipe: tar reads no file when it sees that it writes to /dev/null.
      theirs: `${TAR} --create --directory ${tree} . | cat > /dev/null`,
    },
    settle,
  );
  await script(machine, `${TAR} --create --file ${archive} --directory ${tree} .`);
  const importing = await inTurns(
    bench,
    {
      ours: `$LAGAN import ${archive} ${copy}`,
      // As durable as ours.
      theirs: `${TAR} --extract --preserve-permissions --file ${archive} --directory ${target} && sync --file-system ${target}`,
    },
    `rm -rf ${target}; mkdir ${target}; $LAGAN volume rm ${copy} 2> /dev/null || true; $LAGAN trash empty --force; ${settle}`,
  );
  const { size } = await stat(machine.namespace.inside(archive));
  await script(machine, `rm -rf ${target} ${archive}`);
  return [
    ...rowsOf(`export to a file, ${what}`, exporting, size, { target: RATIO }),
    ...rowsOf(`export to a pipe, ${what}`, piping, size, {}),
    ...rowsOf(`import, ${what}`, importing, size, { target: RATIO }),
  ];
}

/** What is paid for each archive, however small it is: part of all the figures. */
async function start(bench: Bench): Promise<Figure> {
  const { archive } = bench;
  await makeVolume(bench, { volume: "empty", files: 0, largeBytes: 0 });
  const ours = `$LAGAN export empty > ${archive}`;
  const { ours: samples } = await inTurns(bench, { ours, theirs: "true" }, `rm -f ${archive}`);
  return { what: "export of nothing", value: median(samples), unit: "ms" };
}

/** Runs a script in the machine, in which `$LAGAN` is the command. */
async function script(machine: Machine, text: string): Promise<void> {
  const lagan = `LAGAN="${process.execPath} ${LAGAN} --host ${machine.lagand.address}"`;
  const argv = ["sh", "-ec", `${lagan}; ${text}`];
  succeeded(argv, await machine.run(argv, { env: { ...process.env, ...NODE_ENVIRONMENT } }));
}

type Side = "ours" | "theirs";

/** Milliseconds of each round. */
async function inTurns(
  { machine, rounds }: Bench,
  sides: Readonly<Record<Side, string>>,
  before: string,
): Promise<Readonly<Record<Side, readonly number[]>>> {
  const samples: Record<Side, number[]> = { ours: [], theirs: [] };
  // Who is first has the colder cache: each is so in every other round.
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? (["ours", "theirs"] as const) : (["theirs", "ours"] as const);
    for (const side of order) {
      await script(machine, before);
      const begin = performance.now();
      await script(machine, sides[side]);
      samples[side].push(performance.now() - begin);
    }
  }
  return samples;
}

function rowsOf(
  what: string,
  { ours, theirs }: Readonly<Record<Side, readonly number[]>>,
  sizeBytes: number,
  target: Pick<Figure, "target">,
): readonly Figure[] {
  const speed = (samples: readonly number[]) => sizeBytes / MB / (median(samples) / 1000);
  const ratio = { what: `${what}: ours / tar`, value: median(theirs) / median(ours) };
  return [
    { what: `${what}: ours`, value: speed(ours), unit: "MB/s" },
    { what: `${what}: tar`, value: speed(theirs), unit: "MB/s" },
    { ...ratio, unit: "ratio", ...target },
  ];
}

async function compareTrees(directory: string): Promise<readonly Figure[]> {
  const [from, to] = [join(directory, "from"), join(directory, "to")] as const;
  for (let n = 0; n < COMPARED_FILES; n++) {
    if (n % 200 === 0) mkdirSync(`${from}/${n / 200}`, { recursive: true });
    writeFileSync(`${from}/${Math.floor(n / 200)}/${n}`, "");
  }
  await runFile("cp", ["--archive", from, to]);
  const samples: number[] = [];
  for (let round = 0; round < COMPARE_ROUNDS; round++) {
    const begin = performance.now();
    for await (const change of hostTreeDiff.compare(from, to, signal)) {
      throw new Error(`the trees differ: ${change.path}`);
    }
    samples.push(performance.now() - begin);
  }
  const target = { atMost: COMPARE_TARGET_MS };
  const what = "100,000 files and a copy of them";
  return [{ what, value: median(samples), unit: "ms", target, note: `${COMPARE_ROUNDS} rounds` }];
}
