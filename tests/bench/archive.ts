import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createReadStream, mkdirSync, writeFileSync } from "node:fs";
import { mkdir, mkdtemp, open, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { hostArchive } from "../../src/host/archive.ts";
import { hostTreeDiff } from "../../src/host/tree-diff.ts";
import { type Figure, median, type Table } from "./figure.ts";

const runFile = promisify(execFile);
const ROUNDS = 5;
const MB = 1e6;
const SMALL_FILES = 10_000;
const LARGE_BYTES = 1024 ** 3;
const COMPARED_FILES = 100_000;
/** What a comparison of so many may take, in milliseconds. */
const COMPARE_TARGET_MS = 5000;
const RATIO = { atLeast: 0.8 };

const { signal } = new AbortController();
/** As people would run it for a whole tree. */
const TAR = "tar --format=posix --numeric-owner --acls --xattrs '--xattrs-include=*' --sparse";

/** Export and import against GNU tar on the same tree, in turns; and how long two large trees take to compare. */
export async function benchArchive(): Promise<readonly Table[]> {
  const directory = await mkdtemp(join(tmpdir(), "lagan-bench-"));
  const small = join(directory, "small");
  const both = join(directory, "both");
  try {
    await makeSmallFiles(small);
    await makeSmallFiles(both);
    await makeLargeFile(join(both, "large"));
    const rows = [
      ...(await throughput(directory, both, "10,000 small files and 1 GiB")),
      ...(await throughput(directory, small, "10,000 small files")),
    ];
    const diff = await compareTrees(directory);
    return [
      { title: `export and import, ours against GNU tar, ${ROUNDS} rounds`, rows },
      { title: "two trees compared", rows: diff },
    ];
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** Of 2 to 6 KB, 100 in a directory. */
async function makeSmallFiles(tree: string): Promise<void> {
  for (let n = 0; n < SMALL_FILES; n++) {
    if (n % 100 === 0) mkdirSync(`${tree}/${n / 100}`, { recursive: true });
    writeFileSync(`${tree}/${Math.floor(n / 100)}/${n}`, randomBytes(2048 + (n % 4096)));
  }
}

async function makeLargeFile(path: string): Promise<void> {
  await using file = await open(path, "wx");
  for (let at = 0; at < LARGE_BYTES; at += 1024 ** 2) await file.write(randomBytes(1024 ** 2));
}

async function throughput(
  directory: string,
  tree: string,
  what: string,
): Promise<readonly Figure[]> {
  const archive = join(directory, "archive.tar");
  const target = join(directory, "target");
  await shell(`${TAR} --create --file ${archive} --directory ${tree} .`);
  const { size } = await stat(archive);
  const exporting = await inTurns({
    ours: () => drain(hostArchive.pack(tree, {}, signal)),
    // Into a pipe: tar reads no file when it sees that it writes to /dev/null.
    theirs: () => shell(`${TAR} --create --directory ${tree} . | cat > /dev/null`),
  });
  const fresh = async () => {
    await rm(target, { recursive: true, force: true });
    await mkdir(target);
    // Not the whole machine: that waits for whatever else writes on it.
    await shell(`sync --file-system ${directory}`);
  };
  const importing = await inTurns(
    {
      ours: () =>
        hostArchive.unpack(createReadStream(archive), target, { limitBytes: null }, signal),
      // As durable as ours.
      theirs: () =>
        shell(
          `${TAR} --extract --directory ${target} < ${archive} && sync --file-system ${target}`,
        ),
    },
    fresh,
  );
  await rm(target, { recursive: true });
  return [
    ...rowsOf(`export, ${what}`, exporting, size),
    ...rowsOf(`import, ${what}`, importing, size),
  ];
}

type Side = "ours" | "theirs";

/** Milliseconds of each round. */
async function inTurns(
  sides: Readonly<Record<Side, () => Promise<unknown>>>,
  before: () => Promise<void> = async () => undefined,
): Promise<Readonly<Record<Side, readonly number[]>>> {
  const samples: Record<Side, number[]> = { ours: [], theirs: [] };
  // Who is first has the colder cache: each is so in every other round.
  for (let round = 0; round < ROUNDS; round++) {
    const order = round % 2 === 0 ? (["ours", "theirs"] as const) : (["theirs", "ours"] as const);
    for (const side of order) {
      await before();
      const begin = performance.now();
      await sides[side]();
      samples[side].push(performance.now() - begin);
    }
  }
  return samples;
}

function rowsOf(
  what: string,
  { ours, theirs }: Readonly<Record<Side, readonly number[]>>,
  sizeBytes: number,
): readonly Figure[] {
  const speed = (samples: readonly number[]) => sizeBytes / MB / (median(samples) / 1000);
  const ratio = { what: `${what}: ours / tar`, value: median(theirs) / median(ours) };
  return [
    { what: `${what}: ours`, value: speed(ours), unit: "MB/s" },
    { what: `${what}: tar`, value: speed(theirs), unit: "MB/s" },
    { ...ratio, unit: "ratio", target: RATIO },
  ];
}

async function drain(stream: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of stream);
}

async function shell(script: string): Promise<void> {
  await runFile("sh", ["-c", script]);
}

async function compareTrees(directory: string): Promise<readonly Figure[]> {
  const [from, to] = [join(directory, "from"), join(directory, "to")] as const;
  for (let n = 0; n < COMPARED_FILES; n++) {
    if (n % 200 === 0) mkdirSync(`${from}/${n / 200}`, { recursive: true });
    writeFileSync(`${from}/${Math.floor(n / 200)}/${n}`, "");
  }
  await shell(`cp --archive ${from} ${to}`);
  const samples: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const begin = performance.now();
    for await (const change of hostTreeDiff.compare(from, to, signal)) {
      throw new Error(`the trees differ: ${change.path}`);
    }
    samples.push(performance.now() - begin);
  }
  const target = { atMost: COMPARE_TARGET_MS };
  const what = "100,000 files and a copy of them";
  return [{ what, value: median(samples), unit: "ms", target, note: `${ROUNDS} rounds` }];
}
