import { succeeded } from "../real/command.ts";
import { BenchHost } from "./bench-host.ts";
import { type Figure, median, type Table } from "./figure.ts";

const ROUNDS = 15;

const WORKLOADS = {
  "4k random write, fsync each": {
    args: ["--rw=randwrite", "--bs=4k", "--fsync=1", "--size=64m", "--time_based", "--runtime=1"],
    direction: "write",
  },
  "1 MB sequential write": {
    args: ["--rw=write", "--bs=1m", "--size=256m", "--end_fsync=1", "--overwrite=0"],
    direction: "write",
  },
  "1 MB sequential read": {
    args: ["--rw=read", "--bs=1m", "--size=256m", "--direct=1"],
    direction: "read",
  },
} as const;

/** Where the file is, in the container. The first is ours, the others are what it is compared with. */
const PLACES = ["lagan", "plain", "other"] as const;
type Place = (typeof PLACES)[number];

/**
 * fio in one container on three directories in turn: a lagan volume with a limit, a plain subvolume of the same
 * btrfs, and a btrfs of its own that lagan has never seen (so, without quotas).
 */
export async function benchFio(): Promise<readonly Table[]> {
  await using host = await BenchHost.create("btrfs");
  const { machine } = host;
  await host.mountImage("other", "btrfs");
  await host.startLagand();
  await host.startEngine();
  await machine.mustDocker("volume", "create", "-d", "lagan", "-o", "size=4G", "data");
  await host.must("btrfs", "subvolume", "create", host.disk("plain"));
  await host.must("btrfs", "subvolume", "create", machine.path("other/plain"));
  await machine.mustDocker(
    ...["run", "-d", "--network=none", "--name", "fio", "-v", "data:/lagan"],
    ...["-v", `${host.disk("plain")}:/plain`, "-v", `${machine.path("other/plain")}:/other`],
    ...["/usr", "/lib", "/lib64"].flatMap((path) => ["-v", `${path}:${path}:ro`]),
    ...["busybox", "sleep", "99999"],
  );
  const tables: Table[] = [];
  for (const [what, workload] of Object.entries(WORKLOADS)) {
    const samples: Record<Place, number[]> = { lagan: [], plain: [], other: [] };
    for (let round = -1; round < ROUNDS; round++) {
      // Each place comes first in a third of the rounds.
      for (let n = 0; n < PLACES.length; n++) {
        const place = PLACES[(n + round + 1) % PLACES.length] ?? "lagan";
        const speed = await measure(host, place, workload);
        if (round >= 0) samples[place].push(speed);
      }
    }
    tables.push({ title: `fio: ${what}, ${ROUNDS} rounds`, rows: compare(samples) });
  }
  return tables;
}

async function measure(
  { machine }: BenchHost,
  place: Place,
  { args, direction }: (typeof WORKLOADS)[keyof typeof WORKLOADS],
): Promise<number> {
  const argv = [
    ...["exec", "fio", "/usr/bin/fio", "--name=bench", `--filename=/${place}/file`],
    ...["--ioengine=psync", "--output-format=json", ...args],
  ];
  const output = succeeded(["docker", ...argv], await machine.docker(...argv));
  const { jobs } = JSON.parse(output.slice(output.indexOf("{"))) as {
    jobs: { read: { bw_bytes: number }; write: { bw_bytes: number } }[];
  };
  return (jobs[0]?.[direction].bw_bytes ?? Number.NaN) / 1e6;
}

function compare(samples: Record<Place, number[]>): readonly Figure[] {
  const ratio = (against: Place) =>
    median(samples.lagan.map((speed, n) => speed / (samples[against][n] ?? Number.NaN)));
  return [
    { what: "lagan volume with a limit", value: median(samples.lagan), unit: "MB/s" },
    { what: "plain subvolume, same btrfs", value: median(samples.plain), unit: "MB/s" },
    { what: "plain subvolume, btrfs without quotas", value: median(samples.other), unit: "MB/s" },
    {
      what: "lagan / same btrfs (ratio of the medians)",
      value: median(samples.lagan) / median(samples.plain),
      unit: "ratio",
      target: { atLeast: 0.98 },
    },
    { what: "lagan / same btrfs (median of the ratios)", value: ratio("plain"), unit: "ratio" },
    {
      what: "lagan / btrfs without quotas (median of the ratios)",
      value: ratio("other"),
      unit: "ratio",
    },
  ];
}
