import { execFile } from "node:child_process";
import { mkdir, mkdtemp, open, readFile, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const runFile = promisify(execFile);

/** Runs a command to its end. Fails the test when it fails. */
export async function command(...[name = "", ...args]: readonly string[]): Promise<string> {
  return (await runFile(name, args)).stdout;
}

/** A part of this machine for one test: a directory, and file systems mounted below it. Made with commands only. */
export class HostMachine {
  /** Everything of the test lies below. */
  readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async make(): Promise<HostMachine> {
    return new HostMachine(await mkdtemp(join(tmpdir(), "lagan-host-")));
  }

  /** A new directory of this name. */
  async makeDirectory(name: string): Promise<string> {
    const path = join(this.directory, name);
    await mkdir(path, { recursive: true });
    return path;
  }

  /** A new sparse image file with a file system in it. */
  async makeImage(
    name: string,
    type: "btrfs" | "xfs" | "ext4",
    sizeBytes: number,
  ): Promise<string> {
    const path = join(this.directory, name);
    await (await open(path, "wx")).close();
    await truncate(path, sizeBytes);
    await command(`mkfs.${type}`, "-q", path);
    return path;
  }

  /** Mounts; a regular file as `source` by a loop device that detaches itself. */
  async mount(options: string, source: string, name: string): Promise<string> {
    const path = await this.makeDirectory(name);
    await command("mount", ...options.split(" "), source, path);
    return path;
  }

  /** Mount points below the directory, innermost and newest first. */
  async mountPoints(): Promise<readonly string[]> {
    const table = await readFile("/proc/self/mountinfo", "utf8");
    return table
      .split("\n")
      .map((line) => line.split(" ")[4] ?? "")
      .map((path) =>
        path.replace(/\\(\d{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8))),
      )
      .filter((path) => path.startsWith(`${this.directory}/`))
      .reverse();
  }

  /** Takes down everything. */
  async cleanup(): Promise<void> {
    for (const path of await this.mountPoints()) await command("umount", "-l", path);
    await rm(this.directory, { recursive: true, force: true });
    const loops = await command("losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE");
    for (const line of loops.split("\n").filter((line) => line.includes(`${this.directory}/`))) {
      // One that lets itself go after its last mount may be gone before it is asked to.
      await command("losetup", "--detach", line.split(" ")[0] ?? "").catch(() => undefined);
    }
  }
}
