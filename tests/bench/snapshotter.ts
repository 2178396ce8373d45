import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { eventually } from "../real/command.ts";
import { Containerd, runArguments, writeImage } from "../real/containerd.ts";
import { busyboxRoot } from "../real/images.ts";
import { Machine } from "../real/machine.ts";
import { type Figure, median, type Table } from "./figure.ts";
import { push, type Samples, turn } from "./turn.ts";

const run = promisify(execFile);
const MIB = 1024 ** 2;

/** Rounds of a large image where no target is judged by it. */
const TOLD_ROUNDS = 3;

/** What is compared. */
interface Pair {
  readonly ours: string;
  readonly theirs: string;
  readonly disk: "ext4" | "btrfs";
  /** What an import may take of theirs. */
  readonly importing: number;
  /**
   * Beside both, what no snapshotter has a part in: `none` is the image's blobs alone, brought and removed but never unpacked.
   * And one of containerd's own that keeps its layers on this disk too, doing least: what it takes to apply the files.
   */
  readonly floors: readonly ("none" | "overlayfs")[];
}

/** Our snapshotter against containerd's own, in pairs on one disk with a journal. */
export const SNAPSHOTTERS: Readonly<Record<"snapshotter" | "snapshotter-btrfs", Pair>> = {
  snapshotter: {
    ours: "driver: overlay",
    theirs: "overlayfs",
    disk: "ext4",
    importing: 1.05,
    floors: ["none"],
  },
  "snapshotter-btrfs": {
    ours: "driver: btrfs",
    theirs: "btrfs",
    disk: "btrfs",
    importing: 0.25,
    floors: ["none", "overlayfs"],
  },
};

/** A real containerd: images imported, run and removed. */
export async function benchSnapshotter(pair: Pair, rounds: number): Promise<Table> {
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
      if (!isJudged(image, pair) && round >= TOLD_ROUNDS) continue;
      for (const [side, snapshotter] of turn(
        [
          ["lagan", "lagan"],
          ["theirs", pair.theirs],
          ...pair.floors.map((floor) => [`floor ${floor}`, floor] as const),
        ],
        round + 1,
      )) {
        const timed = async (what: string, ...args: readonly string[]): Promise<void> => {
          const begin = performance.now();
          await containerd.must(...args);
          if (round >= 0) push(samples, `${what} ${image} ${side}`, performance.now() - begin);
        };
        const name = `lagan.test/${image}:1`;
        await machine.must("sync");
        const how = snapshotter === "none" ? ["--no-unpack"] : ["--snapshotter", snapshotter];
        await timed("import", "images", "import", ...how, archive);
        if (snapshotter !== "none") {
          await timed("run", ...runArguments(snapshotter, name, `bench${id++}`), "true");
        }
        await timed("rm", "images", "rm", "--sync", name);
        // What one side leaves for later is not the other's to wait for.
        await emptied(machine, join(disk, "state"));
      }
    }
  }
  await containerd.stop();
  const rows = Object.keys(images).flatMap((image) =>
    (["import", "run", "rm"] as const).flatMap((what) => figuresOf(what, image, pair, samples)),
  );
  return { title: `containerd on ${pair.disk} (${pair.ours}), ${rounds} rounds`, rows };
}

/** Ours beside theirs, and beside each floor. */
function figuresOf(
  what: "import" | "run" | "rm",
  image: string,
  pair: Pair,
  samples: Samples,
): readonly Figure[] {
  const of = (side: string): number => median(samples[`${what} ${image} ${side}`] ?? []);
  const theirs = of("theirs");
  const against = (side: string, name: string): Figure => ({
    ...{ what: `${what} ${image}: ${name} / ${pair.theirs}`, value: of(side) / theirs },
    ...{ unit: "ratio", note: `${of(side).toFixed(0)} and ${theirs.toFixed(0)} ms` },
  });
  const bar = { import: pair.importing, run: 1.05, rm: 0.25 }[what];
  const target = isJudged(image, pair) ? { target: { atMost: bar } } : {};
  const floors = pair.floors
    .filter((floor) => samples[`${what} ${image} floor ${floor}`] !== undefined)
    .map((floor) =>
      against(`floor ${floor}`, floor === "none" ? "not unpacked" : `${floor} on ${pair.disk}`),
    );
  return [{ ...against("lagan", "lagan"), ...target }, ...floors];
}

function isJudged(image: string, { theirs }: Pair): boolean {
  return image === "small" || theirs === "overlayfs";
}

/** Waits until the pool has given back the room of what was removed. */
async function emptied(machine: Machine, state: string): Promise<void> {
  const count = ["find", join(state, "pools"), "-mindepth", "3", "-maxdepth", "3"];
  await eventually(
    "nothing is left in the pool",
    async () => {
      // What goes while it looks makes it fail.
      const { code, stdout } = await machine.run(count);
      return code === 0 && stdout === "";
    },
    { timeoutMs: 120_000 },
  );
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
