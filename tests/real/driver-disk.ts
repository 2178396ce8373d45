import { execFile } from "node:child_process";
import {
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  unlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { promisify } from "node:util";
import type { StorageDriver } from "../../src/core/ports/storage-driver.ts";
import type { DriverPorts } from "../../src/drivers/shared/ports.ts";
import type { Faults } from "../conformance/faults.ts";
import type { DriverFixture, WriteOutcome } from "../conformance/storage-driver-fixture.ts";

const run = promisify(execFile);
/** Room of a test's disk; its image file is sparse. */
const DISK_BYTES = 512 * 1024 ** 2;

const UNMOUNT_TIMEOUT_MS = 20_000;

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

  /** Mounts an image. */
  async mount(image: string): Promise<string> {
    const target = `${image}.mnt`;
    await mkdir(target, { recursive: true });
    await run("mount", ["-o", "loop", image, target]);
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
    write: (source, path, bytes) => write(join(source, path), bytes),
    async sync(source) {
      await run("sync", ["--file-system", source]);
    },
    async read(source, path) {
      try {
        return await readFile(join(source, path));
      } catch (error) {
        if (codeOf(error) === "ENOENT") return undefined;
        throw error;
      }
    },
    unlink: (source, path) => unlink(join(source, path)),
    async root(source) {
      const { uid, gid, mode } = await stat(source);
      return { uid, gid, mode: mode & 0o7777, names: (await readdir(source)).sort() };
    },
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
