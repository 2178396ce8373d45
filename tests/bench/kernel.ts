import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { hostKernel } from "../../src/host/kernel.ts";
import { quantile, type Table } from "./figure.ts";

const runFile = promisify(execFile);
const ROUNDS = 200;

type Work = (round: number) => Promise<unknown>;

/** Both sides of a pair, in turns, so that a busy machine is as busy for both. In milliseconds, one a round. */
async function inTurns(sides: readonly Work[]): Promise<readonly (readonly number[])[]> {
  const samples: number[][] = sides.map(() => []);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, side] of sides.entries()) {
      const begin = performance.now();
      await side(round);
      samples[index]?.push(performance.now() - begin);
    }
  }
  return samples;
}

/** How long calls of the Kernel port take, beside the commands that people would run instead. */
export async function benchKernel(): Promise<readonly Table[]> {
  const directory = await mkdtemp(join(tmpdir(), "lagan-bench-"));
  const disk = join(directory, "disk");
  try {
    await runFile("truncate", ["-s", "1G", join(directory, "disk.img")]);
    await runFile("mkfs.btrfs", ["-q", join(directory, "disk.img")]);
    for (const name of ["disk", "source", "target"]) await mkdir(join(directory, name));
    await runFile("mount", ["-o", "loop", join(directory, "disk.img"), disk]);
    return [{ title: "kernel calls, p50, in turns", rows: await measure(directory, disk) }];
  } finally {
    await runFile("umount", ["-l", disk]);
    await rm(directory, { recursive: true });
  }
}

async function measure(directory: string, disk: string): Promise<Table["rows"]> {
  const source = join(directory, "source");
  const target = join(directory, "target");
  const bind = { type: "bind", source, target };
  const command = (name: string, ...args: readonly string[]) => runFile(name, args);
  const create = (round: number) => hostKernel.createSubvolume(`${disk}/ours-${round}`);
  const pairs: readonly (readonly [string, Work, Work])[] = [
    [
      "bind mount and unmount",
      () => hostKernel.mount({ ...bind, options: [] }).then(() => hostKernel.unmount(target)),
      () => command("mount", "--bind", source, target).then(() => command("umount", target)),
    ],
    [
      "the same, read-only",
      () => hostKernel.mount({ ...bind, options: ["ro"] }).then(() => hostKernel.unmount(target)),
      async () => {
        await command("mount", "-o", "bind,ro", source, target);
        await command("umount", target);
      },
    ],
    ["statfs", () => hostKernel.statFileSystem(disk), () => command("stat", "-f", disk)],
    [
      "subvolume create",
      create,
      (round) => command("btrfs", "-q", "subvolume", "create", `${disk}/theirs-${round}`),
    ],
    [
      "subvolume snapshot",
      (round) =>
        hostKernel.snapshotSubvolume(`${disk}/ours-0`, `${disk}/s-${round}`, { readOnly: true }),
      (round) =>
        command(
          "btrfs",
          "-q",
          "subvolume",
          "snapshot",
          "-r",
          `${disk}/ours-0`,
          `${disk}/t-${round}`,
        ),
    ],
    [
      "subvolume create and commit",
      async (round) => {
        await hostKernel.createSubvolume(`${disk}/c-${round}`);
        await hostKernel.commitSubvolumes(disk);
      },
      async (round) => {
        await command("btrfs", "-q", "subvolume", "create", `${disk}/d-${round}`);
        await command("btrfs", "filesystem", "sync", disk);
      },
    ],
    [
      "subvolume remove",
      (round) => hostKernel.removeSubvolume(`${disk}/c-${round}`),
      (round) => command("btrfs", "-q", "subvolume", "delete", `${disk}/d-${round}`),
    ],
  ];
  const rows: Table["rows"][number][] = [];
  for (const [what, ours, theirs] of pairs) {
    const [mine = [], other = []] = await inTurns([ours, theirs]);
    const [value, command50] = [quantile(mine, 0.5), quantile(other, 0.5)];
    rows.push({ what, value, unit: "ms", note: `p99 ${quantile(mine, 0.99).toFixed(2)} ms` });
    rows.push({ what: `${what}, by commands`, value: command50, unit: "ms" });
    rows.push({ what: `${what}, ours / theirs`, value: value / command50, unit: "ratio" });
  }
  return rows;
}
