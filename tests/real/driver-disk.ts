import { execFile } from "node:child_process";
import {
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  stat,
  unlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import type { LayerMount, StorageDriver } from "../../src/core/ports/storage-driver.ts";
import type { DriverPorts } from "../../src/drivers/shared/ports.ts";
import { hostFiles } from "../../src/host/files.ts";
import { hostKernel } from "../../src/host/kernel.ts";
import type { Faults } from "../conformance/faults.ts";
import type { DriverFixture, WriteOutcome } from "../conformance/storage-driver-fixture.ts";

const run = promisify(execFile);
/** Room of a test's disk; its image file is sparse. */
const DISK_BYTES = 512 * 1024 ** 2;

const UNMOUNT_TIMEOUT_MS = 60_000;

/** A directory of a test's own, with disks in it that are image files behind loop devices. */
export class Scratch {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async make(): Promise<Scratch> {
    return new Scratch(await mkdtemp(join(tmpdir(), "lagan-driver-")));
  }

  /** An image file, formatted when `mkfs` says how. */
  async image(name: string, mkfs?: readonly [string, ...string[]]): Promise<string> {
    const path = join(this.path, name);
    const file = await open(path, "wx");
    await file.truncate(DISK_BYTES);
    await file.close();
    if (mkfs !== undefined) await run(mkfs[0], [...mkfs.slice(1), path]);
    return path;
  }

  /** Mounts an image. XFS also while somebody else's mount namespace still has the one that it was copied from. */
  async mount(image: string): Promise<string> {
    const target = `${image}.mnt`;
    await mkdir(target, { recursive: true });
    const { stdout } = await run("blkid", ["--output", "value", "--match-tag", "TYPE", image]);
    await run("mount", ["-o", stdout === "xfs\n" ? "loop,nouuid" : "loop", image, target]);
    return target;
  }

  /** Attaches an image to a loop device, which stays until {@link dispose}. */
  async attach(image: string): Promise<string> {
    const { stdout } = await run("losetup", ["--find", "--show", image]);
    return stdout.trim();
  }

  /** Unmounts everything under the directory and lets its loop devices go. */
  async release(): Promise<void> {
    const lines = (await readFile("/proc/self/mountinfo", "utf8")).split("\n");
    const points = lines.map((line) => line.split(" ")[4] ?? "");
    for (const point of points.reverse()) {
      if (point.startsWith(`${this.path}/`)) await unmount(point);
    }
    const { stdout } = await run("losetup", [
      "--list",
      "--noheadings",
      "--output",
      "NAME,BACK-FILE",
    ]);
    for (const line of stdout.split("\n")) {
      const [device = "", file = ""] = line.split(/\s+/);
      // One that lets itself go after its last mount may be gone before it is asked to.
      if (file.startsWith(`${this.path}/`))
        await run("losetup", ["--detach", device]).catch(ignore);
    }
  }

  /** Releases everything, and of each of these images leaves what is on it at this instant. */
  async cutPower(images: readonly string[]): Promise<void> {
    for (const image of images) await run("cp", ["--sparse=always", image, `${image}.cut`]);
    await this.release();
    for (const image of images) await rename(`${image}.cut`, image);
  }

  /** Works on a layer's root where it can be reached: as it is, or mounted meanwhile. */
  async reach<T>(
    { root = "", ...request }: LayerMount,
    work: (path: string) => Promise<T>,
  ): Promise<T> {
    const { type, source, options } = request;
    if (type === "bind" && options.length === 0) return work(join(source, root));
    const target = await mkdtemp(join(this.path, "reached-"));
    await hostKernel.mount({ ...request, target });
    try {
      return await work(join(target, root));
    } finally {
      await unmount(target);
      await rmdir(target);
    }
  }

  async dispose(): Promise<void> {
    await this.release();
    await rm(this.path, { recursive: true, force: true });
  }
}

/** Unmounts; a loop device inside that is just detaching itself keeps the file system busy for a moment. */
async function unmount(point: string): Promise<void> {
  for (const deadline = Date.now() + UNMOUNT_TIMEOUT_MS; ; await setTimeout(20)) {
    try {
      await run("umount", [point]);
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

/** A driver's storage on the kernel that runs. */
export interface DiskStorage {
  readonly scratch: Scratch;
  /** The directory in which `layers` and `tmp` are. */
  readonly root: string;
  /** True when `root` is a mount point of the pool's own. */
  readonly mounted: boolean;
  readonly make: (ports: DriverPorts) => StorageDriver;
  readonly ports: DriverPorts;
  readonly powerCut?: () => Promise<void>;
}

/** The suite's hands on real file systems. */
export function diskFixture(storage: DiskStorage): DriverFixture {
  const { scratch, root, mounted, make, ports } = storage;
  const reach = <T>(mount: LayerMount, work: (path: string) => Promise<T>): Promise<T> =>
    scratch.reach(mount, work);
  return {
    driver(faults?: Faults): StorageDriver {
      if (faults === undefined) return make(ports);
      const { files, kernel, exec } = ports;
      return make({
        files: faults.wrap(files),
        kernel: faults.wrap(kernel),
        exec: faults.wrap(exec),
      });
    },
    reach,
    write: (mount, path, bytes) => reach(mount, (at) => write(join(at, path), bytes)),
    sync: (mount) =>
      reach(mount, async (at) => {
        await run("sync", ["--file-system", at]);
      }),
    read: (mount, path) => reach(mount, (at) => readIfThere(join(at, path))),
    unlink: (mount, path) => reach(mount, (at) => unlink(join(at, path))),
    makeDirectory: (mount, path, mode) =>
      reach(mount, (at) => hostFiles.makeDirectory(join(at, path), { mode })),
    root: (mount) =>
      reach(mount, async (at) => {
        const { uid, gid, mode } = await stat(at);
        return { uid, gid, mode: mode & 0o7777, names: (await readdir(at)).sort() };
      }),
    leftovers: () => readdir(join(root, "tmp")),
    async fault() {
      if (mounted) await run("umount", [root]);
      else await rename(join(root, "layers"), join(root, "layers-away"));
    },
    async mend() {
      if (!mounted) await rename(join(root, "layers-away"), join(root, "layers"));
    },
    ...(storage.powerCut && { powerCut: storage.powerCut }),
    dispose: () => scratch.dispose(),
  };
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function write(path: string, bytes: Uint8Array): Promise<WriteOutcome> {
  try {
    await writeFile(path, bytes);
    return "written";
  } catch (error) {
    const code = codeOf(error);
    if (code === "EDQUOT" || code === "ENOSPC" || code === "EROFS") return code;
    throw error;
  }
}

/** libuv has no name for EDQUOT: Node calls it "Unknown system error -122" (seen in Node 26). */
const EDQUOT_ERRNO = -122;

function codeOf(error: unknown): unknown {
  if (!(error instanceof Error) || !("code" in error) || !("errno" in error)) return undefined;
  return error.errno === EDQUOT_ERRNO ? "EDQUOT" : error.code;
}

function ignore(): void {}
