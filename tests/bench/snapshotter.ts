import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { type ServiceError, status } from "@grpc/grpc-js";
import { Snapshots } from "../conformance/snapshots-client.ts";
import { Background } from "../real/background.ts";
import { eventually } from "../real/command.ts";
import { Containerd, runArguments, writeImage } from "../real/containerd.ts";
import { busyboxRoot } from "../real/images.ts";
import { Machine } from "../real/machine.ts";
import { type Figure, median, quantile, type Table } from "./figure.ts";

const run = promisify(execFile);
const GO = "/usr/local/go/bin/go";
const SUITE = join(import.meta.dirname, "../real/snapshotter-suite");
/** Cycles of one client in a round, and how deep the chain is on which they work. */
const CYCLES = 100;
const DEPTH = 10;
const CLIENTS = 8;
const MIB = 1024 ** 2;

/** Our snapshotter against containerd's own, in pairs on one disk with a journal. */
export async function benchSnapshotter(rounds: number): Promise<readonly Table[]> {
  const tables = [await calls(rounds)];
  for (const pair of [
    { ours: "driver: overlay", theirs: "overlayfs", disk: "ext4", importing: 1.05 },
    { ours: "driver: btrfs", theirs: "btrfs", disk: "btrfs", importing: 0.25 },
  ] as const) {
    tables.push(await engine(pair, rounds));
  }
  return tables;
}

type Samples = Record<string, number[]>;

/** The calls themselves: containerd's overlayfs snapshotter, served by Go over a socket, and our door. */
async function calls(rounds: number): Promise<Table> {
  await using machine = await Machine.create();
  const disk = await machine.mountDisk("disk");
  const server = machine.path("serve");
  await run(GO, ["-C", SUITE, "build", "-o", server, "./serve"], { env: process.env });
  await machine.lagand.start({
    config: "pools:\n  default: { driver: overlay }\n",
    args: ["--state-dir", join(disk, "state")],
  });
  const socket = machine.path("go.sock");
  new Background(machine.namespace.enter([server, join(disk, "go"), socket]), {
    ...{ env: machine.namespace.env, logFile: machine.path("go.log") },
  });
  const doors = { lagan: machine.path("run/snapshots.sock"), overlayfs: socket };
  const clients = Object.fromEntries(
    Object.entries(doors).map(([side, path]) => [
      side,
      Array.from({ length: CLIENTS }, () => new Snapshots(path)),
    ]),
  );
  const samples: Samples = {};
  for (const [side, [client]] of Object.entries(clients)) {
    if (client === undefined) continue;
    await eventually(`${side} answers`, () =>
      client.prepare("hello").then(
        () => true,
        ({ code }: ServiceError) => code === status.ALREADY_EXISTS,
      ),
    );
    await chain(client);
    await cycles(client, `${side} warm`, CYCLES, {}, side);
  }
  for (let round = 0; round < rounds; round++) {
    for (const side of turn(["lagan", "overlayfs"], round)) {
      const [first, ...others] = clients[side] ?? [];
      if (first === undefined) continue;
      await cycles(first, `${side} ${round}`, CYCLES, samples, side);
      const begin = performance.now();
      await Promise.all(
        [first, ...others].map((client, n) =>
          cycles(client, `${side} ${round} ${n}`, CYCLES / 4, {}, side),
        ),
      );
      push(
        samples,
        `cycles ${side}`,
        (CLIENTS * CYCLES) / 4 / ((performance.now() - begin) / 1_000),
      );
    }
  }
  for (const client of Object.values(clients).flat()) client.close();
  return {
    title: `containerd's calls on ext4, a chain of ${DEPTH}, ${rounds} rounds of ${CYCLES} cycles`,
    rows: callRows(samples),
  };
}

function callRows(samples: Samples): readonly Figure[] {
  const rows: Figure[] = [];
  for (const call of ["prepare", "mounts", "commit", "remove"]) {
    for (const [share, name, bar] of [
      [0.5, "p50", 1.25],
      [0.99, "p99", 2],
    ] as const) {
      const [ours, theirs] = ["lagan", "overlayfs"].map((side) =>
        quantile(samples[`${call} ${side}`] ?? [], share),
      );
      const barred = call === "prepare" || call === "commit";
      rows.push({
        ...{
          what: `${call} ${name}: lagan / overlayfs`,
          value: (ours ?? 0) / (theirs ?? 1),
          unit: "ratio",
        },
        ...(barred && { target: { atMost: bar } }),
        note: `${ours?.toFixed(2)} and ${theirs?.toFixed(2)} ms`,
      });
    }
  }
  const [ours, theirs] = ["lagan", "overlayfs"].map((side) =>
    median(samples[`cycles ${side}`] ?? []),
  );
  rows.push({
    ...{
      what: `${CLIENTS} clients, cycles a second: lagan / overlayfs`,
      unit: "ratio",
      target: { atLeast: 1.3 },
    },
    value: (ours ?? 0) / (theirs ?? 1),
    note: `${ours?.toFixed(0)} and ${theirs?.toFixed(0)}`,
  });
  return rows;
}

async function chain(client: Snapshots): Promise<void> {
  for (let n = 0; n < DEPTH; n++) {
    await client.prepare(`base-${n}-active`, n === 0 ? "" : `base-${n - 1}`);
    await client.commit(`base-${n}`, `base-${n}-active`);
  }
}

async function cycles(
  client: Snapshots,
  name: string,
  count: number,
  samples: Samples,
  side: string,
): Promise<void> {
  const timed = async (call: string, work: () => Promise<unknown>): Promise<void> => {
    const begin = performance.now();
    await work();
    push(samples, `${call} ${side}`, performance.now() - begin);
  };
  for (let n = 0; n < count; n++) {
    const key = `${name} ${n}`;
    await timed("prepare", () => client.prepare(key, `base-${DEPTH - 1}`));
    await timed("mounts", () => client.mounts(key));
    await timed("commit", () => client.commit(`${key} done`, key));
    await timed("remove", () => client.remove(`${key} done`));
  }
}

interface Pair {
  readonly ours: string;
  readonly theirs: string;
  readonly disk: "ext4" | "btrfs";
  /** What an import may take of theirs. */
  readonly importing: number;
}

/** A real containerd: images imported, run and removed. */
async function engine(pair: Pair, rounds: number): Promise<Table> {
  await using machine = await Machine.create();
  const disk = await machine.mountDisk("disk", pair.disk);
  const images = await makeImages(machine);
  await machine.lagand.start({
    config: `pools:\n  default: { ${pair.ours} }\n`,
    args: ["--state-dir", join(disk, "state")],
  });
  const containerd = new Containerd(machine, join(disk, "containerd"));
  await containerd.start();
  const samples: Samples = {};
  let id = 0;
  for (let round = -1; round < rounds; round++) {
    for (const [image, archive] of Object.entries(images)) {
      for (const [side, snapshotter] of turn(
        [
          ["lagan", "lagan"],
          ["theirs", pair.theirs],
        ] as const,
        round + 1,
      )) {
        const timed = async (what: string, ...args: readonly string[]): Promise<void> => {
          const begin = performance.now();
          await containerd.must(...args);
          if (round >= 0) push(samples, `${what} ${image} ${side}`, performance.now() - begin);
        };
        const name = `lagan.test/${image}:1`;
        await machine.must("sync");
        await timed("import", "images", "import", "--snapshotter", snapshotter, archive);
        await timed("run", ...runArguments(snapshotter, name, `bench${id++}`), "true");
        await timed("rm", "images", "rm", "--sync", name);
      }
    }
  }
  await containerd.stop();
  const rows = Object.keys(images).flatMap((image) =>
    (["import", "run", "rm"] as const).map((what): Figure => {
      const [ours = [], theirs = []] = ["lagan", "theirs"].map(
        (side) => samples[`${what} ${image} ${side}`],
      );
      const bar = { import: pair.importing, run: 1.05, rm: 0.25 }[what];
      const judged = image === "small" || pair.theirs === "overlayfs";
      return {
        ...{
          what: `${what} ${image}: lagan / ${pair.theirs}`,
          value: median(ours) / median(theirs),
          unit: "ratio",
        },
        ...(judged && { target: { atMost: bar } }),
        note: `${median(ours).toFixed(0)} and ${median(theirs).toFixed(0)} ms`,
      };
    }),
  );
  return { title: `containerd on ${pair.disk} (${pair.ours}), ${rounds} rounds`, rows };
}

/** Ten layers of a thousand small files; three of 256 MiB. */
async function makeImages(machine: Machine): Promise<Readonly<Record<string, string>>> {
  const script =
    'mkdir -p "$1"; cd "$1"; n=0; while [ $n -lt "$2" ]; do head -c "$3" /dev/urandom >f$n; n=$((n+1)); done';
  const layers = async (name: string, count: number, files: number, bytes: number) => {
    const paths: string[] = [];
    for (let n = 0; n < count; n++) {
      const root = machine.path(`layers-${name}`, String(n));
      await mkdir(root, { recursive: true });
      if (n === 0) await busyboxRoot(root);
      await run("sh", ["-c", script, "sh", join(root, `d${n}`), String(files), String(bytes)]);
      await writeFile(join(root, "layer"), String(n));
      paths.push(root);
    }
    return writeImage(machine.path(), name, paths);
  };
  return {
    small: await layers("small", 10, 1_000, 4_096),
    large: await layers("large", 3, 1, 256 * MIB),
  };
}

/** Who goes first changes, so that nobody has the better of what the others leave. */
function turn<T>(sides: readonly T[], round: number): readonly T[] {
  return round % 2 === 0 ? sides : [...sides].reverse();
}

function push(samples: Samples, name: string, value: number): void {
  const list = samples[name] ?? [];
  samples[name] = list;
  list.push(value);
}
