import { Failure } from "../../core/failure.ts";
import type { MountEntry } from "../../core/ports/kernel.ts";
import type { DriverFacts, PoolHealth } from "../../core/ports/storage-driver.ts";
import { formatBytes } from "../../core/size.ts";
import type { DriverPorts } from "../shared/ports.ts";
import { sparseRoom } from "../shared/sparse-room.ts";
import type { Backing } from "./backing.ts";
import { formatBtrfs } from "./format.ts";

/** Longest that a file system may take to set room aside. */
const RESERVE_TIMEOUT_MS = 600_000;

/** What a loop file is made with; how large it is counts only then. */
interface LoopFileOptions {
  readonly sizeBytes: number;
  /** It takes all of its room when it is made, and keeps it. */
  readonly reserved: boolean;
}

/** A file on the host's file system, behind a loop device: sparse, unless its room is reserved. */
export class LoopFile implements Backing {
  readonly mountOptions: readonly string[];
  readonly #file: string;
  readonly #options: LoopFileOptions;
  readonly #ports: DriverPorts;
  #device = "";

  constructor(file: string, options: LoopFileOptions, ports: DriverPorts) {
    this.#file = file;
    this.#options = options;
    // What is deleted in a sparse pool gives the host its room back; one that reserved its room keeps it.
    this.mountOptions = [options.reserved ? "nodiscard" : "discard=async"];
    this.#ports = ports;
  }

  async attach({ first }: { readonly first: boolean }, signal: AbortSignal): Promise<string> {
    const { files, kernel } = this.#ports;
    if ((await files.stat(this.#file)) === undefined) {
      if (!first) {
        throw new Failure(
          "failed_precondition",
          `Cannot open the pool: its file ${this.#file} is gone, and the volumes with it; put it back`,
        );
      }
      await this.#make(signal);
    }
    // Never a second device for the file: Linux since 6.7 would mount it as another file system (temp_fsid), beside
    // the one that containers may still have, and both would write to it.
    const [attached] = await kernel.findLoops(this.#file);
    this.#device = attached ?? (await kernel.attachLoop(this.#file));
    return this.#device;
  }

  async isAttached(): Promise<boolean> {
    return (await this.#ports.kernel.findLoops(this.#file)).length > 0;
  }

  async owns({ source }: MountEntry): Promise<boolean> {
    const { files, kernel } = this.#ports;
    if ((await files.stat(this.#file)) === undefined) return false;
    if (!(await kernel.findLoops(this.#file)).includes(source)) return false;
    this.#device = source;
    return true;
  }

  async release(): Promise<void> {
    const { files, kernel } = this.#ports;
    if ((await files.stat(this.#file)) === undefined) return;
    for (const device of await kernel.findLoops(this.#file)) await kernel.detachLoop(device);
  }

  /** The host's room must be enough for every byte that the file still lacks, or btrfs will see I/O errors. */
  async health(): Promise<PoolHealth> {
    const { files, kernel } = this.#ports;
    const stat = await files.stat(this.#file);
    if (stat === undefined) {
      return {
        state: "warning",
        why: `The file ${this.#file} was deleted while the pool is in use: its data goes when it is closed; copy the volumes elsewhere now`,
      };
    }
    const { availableBytes } = await kernel.statFileSystem(this.#file);
    return sparseRoom({
      what: `The pool's file ${this.#file}`,
      missingBytes: stat.sizeBytes - stat.allocatedBytes,
      availableBytes,
      fate: "the pool becomes read-only: make room, or give the pool a disk",
    });
  }

  facts(): DriverFacts {
    return { source: "file", file: this.#file, device: this.#device, loopBacked: true };
  }

  async #make(signal: AbortSignal): Promise<void> {
    const { files, exec } = this.#ports;
    const unfinished = `${this.#file}.new`;
    await files.remove(unfinished);
    await files.createSparse(unfinished, this.#options.sizeBytes);
    await formatBtrfs(exec, unfinished, signal);
    if (this.#options.reserved) await this.#reserve(unfinished, signal);
    signal.throwIfAborted();
    await files.rename(unfinished, this.#file);
  }

  async #reserve(path: string, signal: AbortSignal): Promise<void> {
    const { files, exec } = this.#ports;
    const { sizeBytes } = this.#options;
    const argv = ["fallocate", "--length", String(sizeBytes), path] as const;
    const { code, stderr } = await exec.run(argv, { timeoutMs: RESERVE_TIMEOUT_MS }, signal);
    if (code === 0) return;
    // What it got before the disk was full would keep others from working.
    await files.remove(path);
    throw new Failure(
      "resource_exhausted",
      `Cannot reserve ${formatBytes(sizeBytes)} for the pool's file ${this.#file}: its disk has no room for it; make room, or leave reserve out`,
      { cause: new Error(stderr) },
    );
  }
}
