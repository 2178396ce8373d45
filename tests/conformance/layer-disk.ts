import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { command, HostMachine } from "./host-machine.ts";

/** File systems that layers lie on. */
export type LayerDiskType = "ext4" | "xfs" | "btrfs" | "overlay on ext4" | "overlay on xfs";

const DISK_BYTES = 1024 ** 3;

/** A file system of a test's own, and trees on it. */
export class LayerDisk {
  readonly machine: HostMachine;
  readonly #type: LayerDiskType;
  readonly #at: string;
  #count = 0;

  private constructor(machine: HostMachine, type: LayerDiskType, at: string) {
    this.machine = machine;
    this.#type = type;
    this.#at = at;
  }

  static async make(type: LayerDiskType): Promise<LayerDisk> {
    const machine = await HostMachine.make();
    const kind = type.replace("overlay on ", "") as "ext4" | "xfs" | "btrfs";
    const image = await machine.makeImage("disk.img", kind, DISK_BYTES);
    return new LayerDisk(machine, type, await machine.mount("-o loop", image, "disk"));
  }

  /** True when a child is a copy, with inodes of its own. */
  get copies(): boolean {
    return this.#type === "ext4" || this.#type === "xfs";
  }

  /** An empty directory beside the trees. */
  directory(): string {
    const path = `${this.#at}/d${this.#count++}`;
    mkdirSync(path);
    return path;
  }

  /** An empty tree, on which children can stand. */
  tree(): string {
    if (this.#type !== "btrfs") return this.directory();
    const path = `${this.#at}/s${this.#count++}`;
    execFileSync("btrfs", ["-q", "subvolume", "create", path]);
    return path;
  }

  /** A writable tree with the content of another, as a driver makes one. */
  child(parent: string): string {
    const path = `${this.#at}/c${this.#count++}`;
    if (this.#type === "btrfs") {
      execFileSync("btrfs", ["-q", "subvolume", "snapshot", parent, path]);
    } else if (this.copies) {
      execFileSync("cp", ["-aT", "--reflink=auto", parent, path]);
    } else {
      for (const end of ["", ".upper", ".work"]) mkdirSync(path + end);
      // The root of the mount is the upper directory.
      for (const change of ["chmod", "chown", "touch"]) {
        execFileSync(change, [`--reference=${parent}`, `${path}.upper`]);
      }
      const options = `lowerdir=${parent},upperdir=${path}.upper,workdir=${path}.work,redirect_dir=on`;
      execFileSync("mount", ["-t", "overlay", "-o", options, "overlay", path]);
    }
    return path;
  }

  /** Removes all trees, and leaves the file system. */
  async empty(): Promise<void> {
    for (const path of await this.machine.mountPoints()) {
      if (path !== this.#at) await command("umount", path);
    }
    await command("sh", "-c", 'rm -rf -- "$1"/[dsc]*', "sh", this.#at);
  }

  cleanup(): Promise<void> {
    return this.machine.cleanup();
  }
}
