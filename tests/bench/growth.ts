import { existsSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { call } from "../real/unix-http.ts";
import { BenchHost } from "./bench-host.ts";
import { type Figure, median, quantile, type Table } from "./figure.ts";

const SIZES = [10, 1_000, 10_000] as const;
const MOUNTS = 2_000;
const CREATES = 200;
const STARTS = 5;
const LISTS = 11;
const COMMANDS = 11;
const SYNCED = Buffer.alloc(4096, 1);

/** What of the daemon is measured at each number of volumes. */
export const GROWING = ["mount", "create", "start", "list", "command"] as const;
export type Growing = (typeof GROWING)[number];

const MEASURES: Readonly<Record<Growing, (host: BenchHost) => Promise<readonly Figure[]>>> = {
  mount: measureMounts,
  create: measureCreates,
  start: measureStarts,
  list: measureLists,
  command: measureCommand,
};

/** One daemon whose volumes grow from 10 to 10,000. */
export async function benchGrowth(names: ReadonlySet<Growing>): Promise<readonly Table[]> {
  await using host = await BenchHost.create("btrfs");
  await host.startLagand();
  const tables: Table[] = [];
  for (const size of SIZES) {
    const perSecond = await host.fill(size);
    const rows: Figure[] = [
      { what: "creates, 16 at once", value: perSecond, unit: "/s" },
      { what: "resident memory, idle after that", value: host.residentMb(), unit: "MB" },
    ];
    for (const name of GROWING) if (names.has(name)) rows.push(...(await MEASURES[name](host)));
    tables.push({ title: `${size.toLocaleString("en")} volumes`, rows });
  }
  return tables;
}

async function measureMounts(host: BenchHost): Promise<readonly Figure[]> {
  const client = await host.connect();
  const both: number[] = [];
  const single: Record<string, number[]> = { Mount: [], Unmount: [], Get: [] };
  for (let n = -200; n < MOUNTS; n++) {
    const request = { Name: host.anyVolume(), ID: `id-${n}` };
    let sum = 0;
    for (const endpoint of ["Mount", "Unmount", "Get"]) {
      const begin = performance.now();
      await client.call(endpoint, request);
      const ms = performance.now() - begin;
      if (n >= 0) single[endpoint]?.push(ms);
      if (endpoint !== "Get") sum += ms;
    }
    if (n >= 0) both.push(sum);
  }
  client.close();
  return [
    { what: "Mount + Unmount p50", value: median(both), unit: "ms", target: { atMost: 1.5 } },
    {
      what: "Mount + Unmount p99",
      value: quantile(both, 0.99),
      unit: "ms",
      target: { atMost: 10 },
    },
    ...Object.entries(single).map(
      ([endpoint, samples]): Figure => ({
        what: `${endpoint} p50`,
        value: median(samples),
        unit: "ms",
      }),
    ),
  ];
}

let created = 0;

async function measureCreates(host: BenchHost): Promise<readonly Figure[]> {
  const client = await host.connect();
  const samples: Record<string, number[]> = { Create: [], Remove: [], synced: [] };
  const path = host.machine.namespace.inside(host.disk("synced"));
  const file = await open(path, "w");
  for (let n = 0; n < CREATES; n++) {
    const request = { Name: `created-${created++}`, Opts: { size: "1G" } };
    for (const endpoint of ["Create", "Remove"]) {
      const begin = performance.now();
      await client.call(endpoint, request);
      samples[endpoint]?.push(performance.now() - begin);
    }
    const begin = performance.now();
    await file.write(SYNCED);
    await file.sync();
    samples["synced"]?.push(performance.now() - begin);
  }
  await file.close();
  client.close();
  const of = (endpoint: string) => samples[endpoint] ?? [];
  return [
    { what: "Create p50", value: median(of("Create")), unit: "ms", target: { atMost: 5 } },
    { what: "one synced write of 4 KB to that disk p50", value: median(of("synced")), unit: "ms" },
    {
      what: "Create in synced writes",
      value: median(of("Create")) / median(of("synced")),
      unit: "ratio",
    },
    { what: "Create p99", value: quantile(of("Create"), 0.99), unit: "ms" },
    { what: "Remove (to the trash) p50", value: median(of("Remove")), unit: "ms" },
  ];
}

async function measureStarts(host: BenchHost): Promise<readonly Figure[]> {
  const { lagand } = host.machine;
  const orderly: number[] = [];
  const crashed: number[] = [];
  const processor: number[] = [];
  for (let n = 0; n < STARTS; n++) {
    await lagand.stop();
    orderly.push(await host.startLagand());
    processor.push(host.processorMs());
    await lagand.kill();
    crashed.push(await host.startLagand());
  }
  return [
    {
      what: "start to listening",
      value: median(orderly),
      unit: "ms",
      target: { atMost: 1_000 },
    },
    { what: "processor time of that start", value: median(processor), unit: "ms" },
    { what: "start to listening after kill -9", value: median(crashed), unit: "ms" },
    {
      what: "resident memory after a start",
      value: host.residentMb(),
      unit: "MB",
      target: { atMost: 120 },
    },
  ];
}

async function measureLists(host: BenchHost): Promise<readonly Figure[]> {
  const client = await host.connect();
  const plugin = await timed(LISTS, () => client.call("List", {}));
  client.close();
  const rows: Figure[] = [{ what: "VolumeDriver.List", value: plugin, unit: "ms" }];
  const pages = await countPages(host);
  if (pages === 0) return rows;
  const rest = await timed(LISTS, () => countPages(host));
  return [
    ...rows,
    {
      what: "REST list with sizes",
      value: rest,
      unit: "ms",
      target: { atMost: 200 },
      note: `${pages} pages`,
    },
  ];
}

/** Reads the whole list, page by page. */
async function countPages(host: BenchHost): Promise<number> {
  let pages = 0;
  let token = "";
  do {
    const answer = await call({
      socketPath: host.machine.lagand.socketPath,
      path: `/v1/volumes?page_size=500${token === "" ? "" : `&page_token=${encodeURIComponent(token)}`}`,
    });
    if (answer.status !== 200) return 0;
    pages++;
    token = (JSON.parse(answer.body) as { nextPageToken?: string }).nextPageToken ?? "";
  } while (token !== "");
  return pages;
}

async function measureCommand({ machine }: BenchHost): Promise<readonly Figure[]> {
  if (!existsSync(join(import.meta.dirname, "../../src/bin/lagan.ts"))) return [];
  const ms = await timed(COMMANDS, () => machine.mustLagan("volume", "ls"));
  return [
    { what: "lagan volume ls, whole process", value: ms, unit: "ms", target: { atMost: 150 } },
  ];
}

/** Median time of `work` after two rounds that do not count, in milliseconds. */
export async function timed(rounds: number, work: () => Promise<unknown>): Promise<number> {
  const samples: number[] = [];
  for (let n = -2; n < rounds; n++) {
    const begin = performance.now();
    await work();
    if (n >= 0) samples.push(performance.now() - begin);
  }
  return median(samples);
}
