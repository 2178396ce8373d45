import { execFile } from "node:child_process";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { DriverTraits, StorageDriver } from "../../src/core/ports/storage-driver.ts";
import type { DriverPorts } from "../../src/drivers/shared/ports.ts";
import { createZfsDriver } from "../../src/drivers/zfs/driver.ts";
import { hostFiles } from "../../src/host/files.ts";
import { hostKernel } from "../../src/host/kernel.ts";
import type { DriverFixture } from "../conformance/storage-driver-fixture.ts";
import { diskFixture, Scratch } from "./driver-disk.ts";
import { ZfsFuse } from "./zfs-fuse.ts";

const run = promisify(execFile);

/** What a zfs pool promises. */
export const ZFS_TRAITS: DriverTraits = {
  sizeLimit: { errno: "EDQUOT" },
  liveSnapshots: "atomic",
  instantClones: true,
  layers: true,
  plainPaths: true,
  independentLayers: true,
  instantUsage: true,
};

/** A machine of a test's own with zfs-fuse. */
export interface ZfsMachine {
  readonly scratch: Scratch;
  readonly daemon: ZfsFuse;
  /** Below which pools must be. */
  readonly directory: string;
  readonly ports: DriverPorts;
  /** Runs a command there. Fails the test when it fails. */
  command(...argv: readonly [string, ...string[]]): Promise<string>;
  dispose(): Promise<void>;
}

/** Starts zfs-fuse for one test. @param options `tank`: with a ZFS pool of that name. */
export async function zfsMachine(options: { readonly tank?: true } = {}): Promise<ZfsMachine> {
  const scratch = await Scratch.make();
  const directory = join(scratch.path, "zfs");
  const daemon = await ZfsFuse.start(directory);
  const ports = { files: hostFiles, kernel: hostKernel, exec: daemon.exec };
  const machine: ZfsMachine = {
    scratch,
    daemon,
    directory,
    ports,
    async command(...argv) {
      const signal = new AbortController().signal;
      const { code, stdout, stderr } = await ports.exec.run(argv, { timeoutMs: 60_000 }, signal);
      if (code !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`);
      return stdout;
    },
    async dispose() {
      await daemon.dispose();
      await scratch.dispose();
    },
  };
  if (options.tank === true) {
    const disk = join(directory, "tank.img");
    await hostFiles.createSparse(disk, 512 * 1024 ** 2);
    await machine.command("zpool", "create", "-m", "none", "tank", disk);
  }
  return machine;
}

/** The suite's hands on zfs-fuse. @param dataset The pool's; else it makes a ZFS pool of its own on a file. */
export function zfsFixture(machine: ZfsMachine, dataset?: string): DriverFixture {
  const { scratch, daemon, ports } = machine;
  const pool = join(machine.directory, "pool");
  const options: Record<string, string> = dataset === undefined ? { size: "512M" } : { dataset };
  const make = (given: DriverPorts): StorageDriver => createZfsDriver(pool, options, given);
  const disk = diskFixture({ scratch, root: pool, mounted: true, ports, make });
  // FUSE has no syncfs: `sync` would leave it to zfs-fuse, which writes everything before a property.
  const sync = async (): Promise<void> => {
    const [name = ""] = (await machine.command("zpool", "list", "-H", "-o", "name")).split("\n");
    await machine.command("zfs", "set", "test:synced=yes", name);
  };
  const mend = async (): Promise<void> => {
    await daemon.start();
    if (dataset === undefined) return;
    await machine.command("zpool", "import", "-d", machine.directory, "tank");
  };
  const vdev = join(machine.directory, dataset === undefined ? "pool/vdev/pool.img" : "tank.img");
  return {
    ...disk,
    sync,
    async leftovers() {
      const argv = ["zfs", "get", "-r", "-H", "-o", "name,value", "lagan:layer"] as const;
      const lines = (await machine.command(...argv)).split("\n").map((line) => line.split("\t"));
      const names = new Set(lines.map(([name = ""]) => name));
      return lines.flatMap(([name = "", value = ""]) => {
        const [, id] = /\/([0-9a-f-]{36})[^/@]*$/.exec(name) ?? [];
        if (id === undefined) return [];
        const read =
          name.endsWith(".reader") && [...names].some((other) => other.endsWith(`@${id}`));
        return !read && (value === "-" || value.includes('"removed"')) ? [name] : [];
      });
    },
    fault: async () => {
      await sync();
      await daemon.kill();
    },
    mend,
    async powerCut() {
      await daemon.frozen(async () => {
        await run("cp", ["--sparse=always", vdev, `${vdev}.cut`]);
        await daemon.kill();
      });
      await daemon.clearMounts();
      await rename(`${vdev}.cut`, vdev);
      await mend();
    },
    dispose: () => machine.dispose(),
  };
}
