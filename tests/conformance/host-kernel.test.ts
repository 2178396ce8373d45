import { randomFillSync } from "node:crypto";
import { open } from "node:fs/promises";
import { hostFiles } from "../../src/host/files.ts";
import { hostKernel } from "../../src/host/kernel.ts";
import { command, HostMachine } from "./host-machine.ts";
import { kernelConformance } from "./kernel.ts";
import type { KernelGiven } from "./kernel-given.ts";

kernelConformance("this machine's", { fresh });

const DISK_BYTES = 512 * 1024 ** 2;

async function fresh(): Promise<KernelGiven> {
  const machine = await HostMachine.make();
  const disk = await machine.makeImage("disk.img", "btrfs", DISK_BYTES);
  await machine.mount("-o loop", disk, "disk");
  await machine.mount("-t tmpfs -o size=1m", "tmpfs", "memory");
  let images = 0;
  return {
    kernel: hostKernel,
    files: hostFiles,
    root: await machine.makeDirectory("disk/root"),
    plain: await machine.makeDirectory("memory/plain"),
    plainType: "tmpfs",
    image: () => machine.makeImage(`image-${++images}`, "btrfs", 128 * 1024 ** 2),
    write: async (path, bytes) => {
      const file = await open(path, "w");
      await file.write(randomFillSync(new Uint8Array(bytes)));
      await file.sync();
      await file.close();
    },
    hold: async (path) => {
      const file = await open(path);
      return () => file.close();
    },
    freeze: async (path) => {
      await command("fsfreeze", "--freeze", path);
    },
    subvolumesAfterPowerCut: async () => {
      // What the image has now is what a machine would find that lost its power now.
      await command("cp", "--sparse=always", disk, `${disk}.cut`);
      const roots = await command(
        "btrfs",
        "inspect-internal",
        "dump-tree",
        "-t",
        "1",
        `${disk}.cut`,
      );
      const names = [...roots.matchAll(/ROOT_BACKREF[^\n]*\n\s*root backref key[^\n]* name (.*)/g)];
      return names.map(([, name]) => name ?? "").sort();
    },
    cleanup: () => machine.cleanup(),
  };
}
