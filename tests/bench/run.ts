import { BenchHost, type HostFileSystem } from "./bench-host.ts";
import { type Figure, median, quantile, type Table } from "./figure.ts";

const PAIRS = 40;
const WARM_UP = 3;

/** `docker run --rm -v VOLUME:/d busybox true` with a volume of ours and one of Docker's own driver, in turn. */
export async function benchRun(): Promise<readonly Table[]> {
  const tables: Table[] = [];
  for (const fileSystem of ["btrfs", "ext4"] as const) {
    await using host = await BenchHost.create(fileSystem);
    await host.startLagand();
    await host.startEngine();
    tables.push({
      title: `docker run on ${fileSystem} (${poolOf(fileSystem)}), ${PAIRS} pairs`,
      rows: [...(await existing(host)), ...(await fresh(host))],
    });
  }
  return tables;
}

function poolOf(fileSystem: HostFileSystem): string {
  return fileSystem === "btrfs" ? "the pool is a directory of it" : "the pool is a loop file on it";
}

async function existing({ machine }: BenchHost): Promise<readonly Figure[]> {
  await machine.mustDocker("volume", "create", "-d", "lagan", "ours");
  await machine.mustDocker("volume", "create", "-d", "local", "theirs");
  const run = (volume: string) => () =>
    machine.mustDocker("run", "--rm", "--network=none", "-v", `${volume}:/d`, "busybox", "true");
  return compare("volume that exists", run("ours"), run("theirs"));
}

async function fresh({ machine }: BenchHost): Promise<readonly Figure[]> {
  let n = 0;
  const run = (driver: string) => () =>
    machine.mustDocker(
      ...["run", "--rm", "--network=none", "--volume-driver", driver],
      ...["-v", `${driver}-${n++}:/d`, "busybox", "true"],
    );
  return compare("volume made by the run", run("lagan"), run("local"));
}

async function compare(
  what: string,
  ours: () => Promise<unknown>,
  theirs: () => Promise<unknown>,
): Promise<readonly Figure[]> {
  const samples = { ours: [] as number[], theirs: [] as number[] };
  for (let pair = -WARM_UP; pair < PAIRS; pair++) {
    // Who goes first changes, so that neither has the better of what the other leaves.
    const order = pair % 2 === 0 ? (["ours", "theirs"] as const) : (["theirs", "ours"] as const);
    for (const side of order) {
      const begin = performance.now();
      await (side === "ours" ? ours() : theirs());
      if (pair >= 0) samples[side].push(performance.now() - begin);
    }
  }
  const ratios = samples.ours.map((ms, n) => ms / (samples.theirs[n] ?? Number.NaN));
  const spread = `${quantile(samples.ours, 0.25).toFixed(0)}-${quantile(samples.ours, 0.75).toFixed(0)} against ${quantile(samples.theirs, 0.25).toFixed(0)}-${quantile(samples.theirs, 0.75).toFixed(0)} ms (middle half)`;
  return [
    { what: `${what}: lagan`, value: median(samples.ours), unit: "ms", note: spread },
    { what: `${what}: local`, value: median(samples.theirs), unit: "ms" },
    {
      what: `${what}: ratio of the medians`,
      value: median(samples.ours) / median(samples.theirs),
      unit: "ratio",
      target: { atMost: 1.05 },
    },
    { what: `${what}: median of the ratios`, value: median(ratios), unit: "ratio" },
  ];
}
