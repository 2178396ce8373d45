import { symlink } from "node:fs/promises";
import { relative } from "node:path";
import { expect } from "vitest";
import { hostFiles } from "../../src/host/files.ts";
import { type FilesGiven, filesConformance } from "./files.ts";
import { command, HostMachine } from "./host-machine.ts";

filesConformance("this machine's, on XFS", { fresh });

async function fresh(): Promise<FilesGiven> {
  const machine = await HostMachine.make();
  // XFS, because it can be shut down as a power cut does: without writing its log.
  const image = await machine.makeImage("disk.img", "xfs", 320 * 1024 ** 2);
  const disk = await machine.mount("-o loop", image, "disk");
  const root = await machine.makeDirectory("disk/root");
  await command("mount", "--bind", root, await machine.makeDirectory("read-only"));
  await command("mount", "-o", "remount,bind,ro", `${machine.directory}/read-only`);
  await command("sync", "--file-system", root);
  return {
    files: hostFiles,
    root,
    other: await machine.makeDirectory("other"),
    small: await machine.mount("-t tmpfs -o size=512k", "tmpfs", "small"),
    readOnly: `${machine.directory}/read-only`,
    link: symlink,
    bindAt: async (source, path) => {
      await machine.mount("--bind", source, relative(machine.directory, path));
    },
    powerCut: async () => {
      await command("xfs_io", "-x", "-c", "shutdown", disk);
      await command("umount", `${machine.directory}/read-only`, disk);
      // Another mount namespace that was made meanwhile (every removal of a tree has one) may hold it for a moment.
      const attached = (): Promise<string> => command("losetup", "--associated", image);
      await expect.poll(attached, { timeout: 20_000 }).toBe("");
      await machine.mount("-o loop", image, "disk");
      return hostFiles;
    },
    cleanup: () => machine.cleanup(),
  };
}
