import { BenchHost, type HostFileSystem } from "./bench-host.ts";
import { type Figure, median, quantile, type Table } from "./figure.ts";

const ROUNDS = 40;
const WARM_UP = 3;

/** Drivers that are compared: ours, Docker's own, and a plugin that does nothing, which tells what any plugin costs. */
const SIDES = ["lagan", "local", "bare"] as const;

type Side = (typeof SIDES)[number];

/** `docker run --rm -v VOLUME:/d busybox true` with a volume of each driver, in turn. */
export async function benchRun(): Promise<readonly Table[]> {
  const tables: Table[] = [];
  for (const fileSystem of ["btrfs", "ext4"] as const) {
    await using host = await BenchHost.create(fileSystem);
    await host.startLagand();
    await host.startBarePlugin();
    await host.startEngine();
    tables.push({
      title: `docker run on ${fileSystem} (${poolOf(fileSystem)}), ${ROUNDS} rounds`,
      rows: [...(await existing(host)), ...(await fresh(host))],
    });
  }
  return tables;
}

function poolOf(fileSystem: HostFileSystem): string {
  return fileSystem === "btrfs" ? "the pool is a directory of it" : "the pool is a loop file on it";
}

async function existing({ machine }: BenchHost): Promise<readonly Figure[]> {
  for (const side of SIDES) await machine.mustDocker("volume", "create", "-d", side, `of-${side}`);
  return compare("volume that exists", (side) =>
    machine.mustDocker("run", "--rm", "--network=none", "-v", `of-${side}:/d`, "busybox", "true"),
  );
}

async function fresh({ machine }: BenchHost): Promise<readonly Figure[]> {
  let n = 0;
  return compare("volume made by the run", (side) =>
    machine.mustDocker(
      ...["run", "--rm", "--network=none", "--volume-driver", side],
      ...["-v", `${side}-${n++}:/d`, "busybox", "true"],
    ),
  );
}

async function compare(
  what: string,
  run: (side: Side) => Promise<unknown>,
): Promise<readonly Figure[]> {
  const samples: Record<Side, number[]> = { lagan: [], local: [], bare: [] };
  for (let round = -WARM_UP; round < ROUNDS; round++) {
    // Who goes first changes, so that nobody has the better of what the others leave.
    for (let turn = 0; turn < SIDES.length; turn++) {
      const side = SIDES[(turn + round + SIDES.length * WARM_UP) % SIDES.length] ?? "local";
      const begin = performance.now();
      await run(side);
      if (round >= 0) samples[side].push(performance.now() - begin);
    }
  }
  const times = SIDES.map((side): Figure => {
    const [low, high] = [0.25, 0.75].map((share) => quantile(samples[side], share).toFixed(0));
    const note = `middle half ${low}-${high} ms`;
    return { what: `${what}: ${side}`, value: median(samples[side]), unit: "ms", note };
  });
  const ratio = (a: Side, b: Side): Pick<Figure, "value" | "unit" | "note"> => {
    const each = samples[a].map((ms, n) => ms / (samples[b][n] ?? Number.NaN));
    const value = median(samples[a]) / median(samples[b]);
    return { value, unit: "ratio", note: `median of the ratios ${median(each).toFixed(3)}` };
  };
  return [
    ...times,
    { what: `${what}: lagan / local`, ...ratio("lagan", "local"), target: { atMost: 1.05 } },
    { what: `${what}: bare / local, the floor of any plugin`, ...ratio("bare", "local") },
    { what: `${what}: lagan / bare`, ...ratio("lagan", "bare") },
  ];
}
