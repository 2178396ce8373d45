import { closeSync, fsyncSync, mkdirSync, openSync, writeSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { call } from "../real/unix-http.ts";
import { BenchHost } from "./bench-host.ts";
import { type Figure, median, type Table } from "./figure.ts";
import { timed } from "./growth.ts";

const DISK_SIZE = "48G";
const GIB = 1024 ** 3;
const SNAPSHOTS = 21;
const FREEZES = 21;
const QUERIES = 11;
const LINES = 10;
const SNAPSHOTS_A_LINE = 1000;
const VOLUMES = 1000;
const FILES_A_VOLUME = 20;
const AT_MOST_200 = { atMost: 200 };

/** Content of a volume: so many files of so many bytes. */
interface Content {
  readonly name: string;
  readonly files: number;
  readonly fileBytes: number;
  readonly targetMs: number;
  /** How often the copies are made that are compared. */
  readonly copies: number;
}

const CONTENTS: readonly Content[] = [
  { name: "1,000 files", files: 1000, fileBytes: 4096, targetMs: 15, copies: 5 },
  { name: "100,000 files", files: 100_000, fileBytes: 4096, targetMs: 30, copies: 1 },
  { name: "10 GiB", files: 10, fileBytes: GIB, targetMs: 30, copies: 1 },
];

/** What history costs: snapshots and clones, what a writer notices, long histories, accounting. Each in a machine of its own. */
export const HISTORY: readonly (() => Promise<readonly Table[]>)[] = [
  benchContents,
  benchFreeze,
  benchLongHistory,
  benchAccounting,
];

async function benchContents(): Promise<readonly Table[]> {
  await using host = await BenchHost.create("btrfs", DISK_SIZE);
  await host.startLagand();
  await host.startEngine();
  const tables: Table[] = [];
  for (const [index, content] of CONTENTS.entries()) {
    tables.push({
      title: `snapshot and clone on btrfs: ${content.name}`,
      rows: await measureContent(host, `content-${index}`, content),
    });
  }
  return tables;
}

async function measureContent(
  host: BenchHost,
  volume: string,
  { files, fileBytes, targetMs, copies }: Content,
): Promise<readonly Figure[]> {
  const root = await mounted(host, volume, {});
  fill(host.machine.namespace.inside(root), files, fileBytes);
  await host.must("sync", "-f", root);
  const snapshot: number[] = [];
  const clone: number[] = [];
  for (let n = -2; n < SNAPSHOTS; n++) {
    const took = await elapsed(() => snapshotOf(host, volume));
    const from = { name: `${volume}-clone-${n + 2}`, options: { from: volume } };
    const made = await elapsed(() => post(host, "/v1/volumes", from));
    if (n < 0) continue;
    snapshot.push(took);
    clone.push(made);
  }
  const target = { atMost: targetMs };
  const note = `${SNAPSHOTS} rounds`;
  return [
    { what: "snapshot p50", value: median(snapshot), unit: "ms", target, note },
    { what: "clone p50", value: median(clone), unit: "ms", target, note },
    ...(await measureCopies(host, volume, root, copies)),
  ];
}

/** What people do without snapshots, each synced, since a snapshot is durable too. */
async function measureCopies(
  host: BenchHost,
  volume: string,
  root: string,
  copies: number,
): Promise<readonly Figure[]> {
  const copy = host.disk("copy");
  const bind = `type=bind,source=${copy},target=/to`;
  const tar = "tar -C /from -cf - . | tar -C /to -xf -";
  const ways: readonly (readonly [string, () => Promise<unknown>])[] = [
    ["cp -a", () => host.must("cp", "-a", "--reflink=never", `${root}/.`, copy)],
    ["cp -a --reflink=always", () => host.must("cp", "-a", "--reflink=always", `${root}/.`, copy)],
    [
      "docker run … tar",
      () =>
        host.machine.mustDocker(
          ...["run", "--rm", "--network=none", "-v", `${volume}:/from:ro`, "--mount", bind],
          ...["busybox", "sh", "-c", tar],
        ),
    ],
  ];
  const rows: Figure[] = [];
  for (const [what, work] of ways) {
    const samples: number[] = [];
    for (let n = 0; n < copies; n++) {
      await host.must("mkdir", copy);
      samples.push(
        await elapsed(async () => {
          await work();
          await host.must("sync", "-f", copy);
        }),
      );
      await host.must("rm", "-rf", copy);
      await host.must("sync", "-f", host.disk());
    }
    const note = copies === 1 ? "once" : `${copies} rounds`;
    rows.push({ what: `${what}, and sync`, value: median(samples), unit: "ms", note });
  }
  return rows;
}

/** Snapshots of a volume of the loop driver with 1 GiB in it, which somebody writes to and syncs all the time. */
async function benchFreeze(): Promise<readonly Table[]> {
  await using host = await BenchHost.create("xfs");
  await host.startLagand("loop");
  await host.startEngine();
  const root = host.machine.namespace.inside(await mounted(host, "written", { size: "4G" }));
  fill(root, 1, GIB);
  const without = await longestSync(root, () => new Promise((done) => setTimeout(done, 1000)));
  const totals: number[] = [];
  const stalls: number[] = [];
  for (let n = -2; n < FREEZES; n++) {
    let total = 0;
    const stall = await longestSync(root, async () => {
      total = await elapsed(() => snapshotOf(host, "written"));
    });
    if (n < 0) continue;
    totals.push(total);
    stalls.push(stall);
  }
  const note = `${FREEZES} rounds, longest write and fsync of each`;
  const freeze = { atMost: 50 };
  const title = "snapshot of a written volume of 1 GiB, loop driver on XFS";
  return [
    {
      title,
      rows: [
        { what: "snapshot p50", value: median(totals), unit: "ms", target: { atMost: 100 } },
        { what: "snapshot, worst", value: Math.max(...totals), unit: "ms" },
        { what: "writer's stall p50", value: median(stalls), unit: "ms", target: freeze, note },
        { what: "writer's stall, worst", value: Math.max(...stalls), unit: "ms" },
        { what: "writer's stall in a second without a snapshot", value: without, unit: "ms" },
      ],
    },
  ];
}

/** The longest that a write of 4 KB and its fsync took while `work` ran. */
async function longestSync(root: string, work: () => Promise<unknown>): Promise<number> {
  const file = await open(join(root, "written"), "w");
  try {
    let longest = 0;
    let ended = false;
    const writer = (async () => {
      for (let n = 0; !ended; n++) {
        const begin = performance.now();
        await file.write(Buffer.alloc(4096, n), 0, 4096, (n % 1024) * 4096);
        await file.sync();
        longest = Math.max(longest, performance.now() - begin);
      }
    })();
    await work();
    ended = true;
    await writer;
    return longest;
  } finally {
    await file.close();
  }
}

async function benchLongHistory(): Promise<readonly Table[]> {
  await using host = await BenchHost.create("btrfs");
  await host.startLagand();
  await host.fill(LINES);
  const begin = performance.now();
  const lines = Array.from({ length: LINES }, (_, n) => host.volume(n));
  await Promise.all(
    lines.map(async (line) => {
      for (let n = 0; n < SNAPSHOTS_A_LINE; n++) await snapshotOf(host, line);
    }),
  );
  const taken = LINES * SNAPSHOTS_A_LINE;
  const perSecond = (taken / (performance.now() - begin)) * 1000;
  const [line = ""] = lines;
  const rows: Figure[] = [{ what: "snapshots taken, 10 at once", value: perSecond, unit: "/s" }];
  const paths = [
    ["log", `/v1/volumes/${line}/log`],
    ["snapshots of one volume", `/v1/volumes/${line}/snapshots`],
    ["one page of all snapshots", "/v1/snapshots?page_size=500"],
    ["all snapshots", "/v1/snapshots"],
    ["volumes", "/v1/volumes"],
  ] as const;
  for (const [what, path] of paths) {
    const value = await timed(QUERIES, () => pages(host, path));
    const target = what === "all snapshots" ? {} : { target: AT_MOST_200 };
    const note = `${await pages(host, path)} pages`;
    rows.push({ what: `REST, ${what}`, value, unit: "ms", ...target, note });
  }
  rows.push(await commandFigure(host, ["version"]));
  const commands = [
    ["log", line],
    ["snapshot", "ls", line],
    ["snapshot", "ls"],
    ["volume", "ls"],
  ];
  for (const args of commands) rows.push(await commandFigure(host, args));
  rows.push({ what: "resident memory", value: host.residentMb(), unit: "MB" });
  return [{ title: "1,000 snapshots of one volume, 10,000 in the store", rows }];
}

async function benchAccounting(): Promise<readonly Table[]> {
  // The pool is a btrfs of ours in a file: in somebody else's file system nobody keeps books.
  await using host = await BenchHost.create("ext4");
  await host.startLagand();
  await host.fill(VOLUMES);
  const roots: string[] = [];
  for (let n = 0; n < VOLUMES; n++) {
    const root = await mounted(host, host.volume(n), undefined);
    fill(host.machine.namespace.inside(root), FILES_A_VOLUME, 4096);
    roots.push(root);
  }
  await host.must("sync", "-f", host.disk());
  const get = async (path: string) => {
    const { status, body } = await call({ socketPath: host.machine.lagand.socketPath, path });
    if (status !== 200) throw new Error(`GET ${path}: ${status} ${body}`);
  };
  const usage = await timed(QUERIES, () => get("/v1/usage"));
  const list = await timed(QUERIES, () => pages(host, "/v1/volumes"));
  const command = await commandFigure(host, ["volume", "du"]);
  const du = await timed(QUERIES, () => host.must("du", "-s", ...roots));
  const title = `usage of ${VOLUMES.toLocaleString("en")} volumes of ${FILES_A_VOLUME} files`;
  return [
    {
      title,
      rows: [
        { what: "REST, usage", value: usage, unit: "ms", target: AT_MOST_200 },
        { what: "REST, volumes with usedBytes", value: list, unit: "ms", target: AT_MOST_200 },
        command,
        { what: "du -s of all", value: du, unit: "ms", note: "everything in the cache" },
      ],
    },
  ];
}

async function commandFigure(host: BenchHost, args: readonly string[]): Promise<Figure> {
  // As it is started on a host: compiled code is at hand.
  const value = await timed(QUERIES, () => host.machine.mustLagan(...args));
  const what = `lagan ${args.join(" ")}, whole process`;
  // Targets are for what one volume has; the version tells what any command costs.
  const all = ["snapshot ls", "version"].includes(args.join(" "));
  return { what, value, unit: "ms", ...(all ? {} : { target: AT_MOST_200 }) };
}

/** Makes a volume unless `options` are absent, and mounts it; resolves to its root, inside. */
async function mounted(
  host: BenchHost,
  volume: string,
  options: Readonly<Record<string, string>> | undefined,
): Promise<string> {
  const client = await host.connect();
  if (options !== undefined) await client.call("Create", { Name: volume, Opts: options });
  const { Mountpoint } = await client.call("Mount", { Name: volume, ID: `bench-${volume}` });
  client.close();
  return String(Mountpoint);
}

/** Files of real extents, a thousand a directory. */
function fill(root: string, files: number, fileBytes: number): void {
  const block = Buffer.alloc(Math.min(fileBytes, 1024 ** 2), 1);
  for (let n = 0; n < files; n++) {
    const directory = join(root, `directory-${Math.floor(n / 1000)}`);
    if (n % 1000 === 0) mkdirSync(directory);
    const file = openSync(join(directory, `file-${n}`), "w");
    for (let written = 0; written < fileBytes; written += block.length) writeSync(file, block);
    if (fileBytes >= GIB) fsyncSync(file);
    closeSync(file);
  }
}

function snapshotOf(host: BenchHost, volume: string): Promise<void> {
  return post(host, `/v1/volumes/${volume}/snapshots`, {});
}

async function post(host: BenchHost, path: string, body: object): Promise<void> {
  const answer = await call({
    ...{ socketPath: host.machine.lagand.socketPath, path, method: "POST" },
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    timeoutMs: 300_000,
  });
  if (answer.status !== 201) throw new Error(`POST ${path}: ${answer.status} ${answer.body}`);
}

/** Reads a whole list, page by page, or the one page that is asked for; resolves to how many there were. */
async function pages(host: BenchHost, path: string): Promise<number> {
  if (path.includes("?")) return page(host, path).then(() => 1);
  let count = 0;
  let token = "";
  do {
    const after = token === "" ? "" : `&page_token=${encodeURIComponent(token)}`;
    token = await page(host, `${path}?page_size=500${after}`);
    count++;
  } while (token !== "");
  return count;
}

/** Resolves to the token of the next page. */
async function page({ machine }: BenchHost, path: string): Promise<string> {
  const { status, body } = await call({
    socketPath: machine.lagand.socketPath,
    path,
    timeoutMs: 300_000,
  });
  if (status !== 200) throw new Error(`GET ${path}: ${status} ${body}`);
  return (JSON.parse(body) as { nextPageToken?: string }).nextPageToken ?? "";
}

async function elapsed(work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now();
  await work();
  return performance.now() - begin;
}
