import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { mustRun } from "../real/command.ts";
import { Engine } from "../real/engine.ts";
import { busyboxRoot } from "../real/images.ts";
import { BenchHost } from "./bench-host.ts";
import { type Figure, median, quantile, type Table } from "./figure.ts";

const WARM_UP = 1;
/** Containers of one round; what is told is one of them. */
const RUNS = 3;
/** Layers of the image beside the one with the shell. */
const LAYERS = 10;
/** Files of each of them, and the bytes of each file. */
const FILES = 1_000;
const FILE_BYTES = 4_096;
/** Bytes of one large file in the last layer. */
const LARGE_BYTES = 64 * 1024 ** 2;

/** Who keeps the layers: lagan, and Docker's own driver. */
const SIDES = ["lagan", "overlay2"] as const;
type Side = (typeof SIDES)[number];

const STEPS = ["load", "run", "rmi"] as const;
type Step = (typeof STEPS)[number];

/** What each step may take, as a share of what Docker's own driver takes. */
const TARGETS: Readonly<Record<Step, number>> = { load: 1.15, run: 1.15, rmi: 0.5 };

/** `docker load`, `run --rm` and `rmi` of one image on two engines that differ in their storage driver alone, in turn. */
export async function benchGraph(rounds: number): Promise<readonly Table[]> {
  await using host = await BenchHost.create("ext4");
  const { namespace, lagand, engine } = host.machine;
  await lagand.start({
    config: "pools:\n  default:\n    driver: directory\n",
    args: ["--state-dir", host.disk("state")],
  });
  const engines: Record<Side, Engine> = { lagan: engine, overlay2: new Engine(namespace, "own") };
  await engines.lagan.start({
    storageDriver: "lagan",
    args: ["--data-root", host.disk("docker-lagan")],
  });
  await engines.overlay2.start({ args: ["--data-root", host.disk("docker-overlay2")] });
  const archive = await makeArchive(host);
  const samples = await measure(host, engines, archive, rounds);
  const rows = STEPS.flatMap((step) => figuresOf(step, samples[step]));
  const title = `docker load, run and rmi on ext4: ${LAYERS + 1} layers, ${LAYERS * FILES} files and one of ${LARGE_BYTES / 1024 ** 2} MiB; ${rounds} rounds`;
  return [{ title, rows }];
}

type Samples = Readonly<Record<Step, Readonly<Record<Side, number[]>>>>;

async function measure(
  host: BenchHost,
  engines: Readonly<Record<Side, Engine>>,
  archive: string,
  rounds: number,
): Promise<Samples> {
  const none = (): Record<Side, number[]> => ({ lagan: [], overlay2: [] });
  const samples: Samples = { load: none(), run: none(), rmi: none() };
  for (let round = -WARM_UP; round < rounds; round++) {
    // Who goes first changes, so that nobody has the better of what the other leaves.
    for (const side of round % 2 === 0 ? SIDES : SIDES.toReversed()) {
      const env = { ...host.machine.namespace.env, DOCKER_HOST: engines[side].address };
      const timed = async (step: Step, ...argv: readonly string[]): Promise<void> => {
        const begin = performance.now();
        await mustRun(["docker", ...argv], { env });
        if (round >= 0) samples[step][side].push(performance.now() - begin);
      };
      // What one side has left unwritten is not the other's to write.
      await host.must("sync", "-f", host.disk());
      await timed("load", "load", "-q", "-i", archive);
      for (let n = 0; n < RUNS; n++) {
        await timed("run", "run", "--rm", "--network=none", "bench", "true");
      }
      await timed("rmi", "rmi", "bench");
    }
  }
  return samples;
}

function figuresOf(step: Step, samples: Readonly<Record<Side, number[]>>): readonly Figure[] {
  const times = SIDES.map((side): Figure => {
    const [low, high] = [0.25, 0.75].map((share) => quantile(samples[side], share).toFixed(0));
    const note = `middle half ${low}-${high} ms`;
    return { what: `${step}: ${side}`, value: median(samples[side]), unit: "ms", note };
  });
  const each = samples.lagan.map((ms, n) => ms / (samples.overlay2[n] ?? Number.NaN));
  return [
    ...times,
    {
      what: `${step}: lagan / overlay2`,
      value: median(samples.lagan) / median(samples.overlay2),
      unit: "ratio",
      target: { atMost: TARGETS[step] },
      note: `median of the ratios ${median(each).toFixed(3)}`,
    },
  ];
}

/** An archive for `docker load`, outside of the disk that is measured; resolves to its path. */
async function makeArchive({ machine }: BenchHost): Promise<string> {
  const root = machine.path("archive");
  await mkdir(root);
  const names: string[] = [];
  const diffIds: string[] = [];
  const add = async (name: string, tree: string): Promise<void> => {
    await mustRun(["tar", "-C", tree, "-cf", join(root, name), "."]);
    const bytes = await readFile(join(root, name));
    names.push(name);
    diffIds.push(`sha256:${createHash("sha256").update(bytes).digest("hex")}`);
  };
  await add("base.tar", await busyboxRoot(machine.path("image")));
  for (let layer = 0; layer < LAYERS; layer++) {
    const tree = machine.path(`tree-${layer}`);
    for (let n = 0; n < FILES; n++) {
      const directory = join(tree, `data-${layer}`, String(n % 50));
      await mkdir(directory, { recursive: true });
      await writeFile(join(directory, `file-${n}`), Buffer.alloc(FILE_BYTES, `${layer}/${n} `));
    }
    if (layer === LAYERS - 1) await writeFile(join(tree, "large"), Buffer.alloc(LARGE_BYTES, "l"));
    await add(`layer-${layer}.tar`, tree);
  }
  const config = {
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    os: "linux",
    config: { Cmd: ["/bin/sh"] },
    rootfs: { type: "layers", diff_ids: diffIds },
  };
  await writeFile(join(root, "config.json"), JSON.stringify(config));
  const manifest = [{ Config: "config.json", RepoTags: ["bench:latest"], Layers: names }];
  await writeFile(join(root, "manifest.json"), JSON.stringify(manifest));
  const archive = machine.path("bench.tar");
  await mustRun(["tar", "-C", root, "-cf", archive, "."]);
  return archive;
}
