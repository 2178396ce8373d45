import { Failure } from "../../core/failure.ts";
import type { DriverFacts, PoolHealth } from "../../core/ports/storage-driver.ts";
import { formatBytes } from "../../core/size.ts";
import type { PoolPast } from "../shared/pool-directory.ts";
import type { DriverPorts } from "../shared/ports.ts";
import { POOL_TIMEOUT_MS, type ZfsCommands } from "./commands.ts";
import type { NewFile } from "./options.ts";
import { liesOn, parseImportable, reasonOf } from "./parse.ts";
import type { ZfsPlace } from "./place.ts";

const RESERVE_TIMEOUT_MS = 600_000;

/** Properties of a new ZFS pool's datasets that the kernel's ZFS has and zfs-fuse has not. */
const KERNEL_PROPERTIES = ["xattr=sa", "acltype=posixacl"] as const;

/**
 * A ZFS pool of ours on a file, named after the directory that it is in: so two daemons never meet.
 *
 * While `pool.making` is there, the file was never handed out and is made anew.
 */
export class VdevFile implements ZfsPlace {
  /** A ZFS pool, and so its topmost dataset. */
  readonly dataset: string;
  readonly #poolDirectory: string;
  readonly #directory: string;
  readonly #file: string;
  readonly #note: string;
  readonly #options: NewFile;
  readonly #ports: DriverPorts;
  readonly #zfs: ZfsCommands;
  readonly #past: PoolPast;

  constructor(
    poolDirectory: string,
    options: NewFile,
    ports: DriverPorts,
    zfs: ZfsCommands,
    past: PoolPast,
  ) {
    this.#poolDirectory = poolDirectory;
    // ZFS looks for its pools in a directory, so the file has one to itself.
    this.#directory = `${poolDirectory}/vdev`;
    this.#file = `${this.#directory}/pool.img`;
    this.#note = `${poolDirectory}/pool.making`;
    this.dataset = poolNameOf(poolDirectory);
    this.#options = options;
    this.#ports = ports;
    this.#zfs = zfs;
    this.#past = past;
  }

  async open(signal: AbortSignal): Promise<void> {
    const { files } = this.#ports;
    await files.ensureDirectory(this.#poolDirectory, { mode: 0o711 });
    await files.ensureDirectory(this.#directory, { mode: 0o700 });
    const imported = await this.#isImported(signal);
    const unfinished = (await files.stat(this.#note)) !== undefined;
    const there = (await files.stat(this.#file)) !== undefined;
    if (unfinished || !there) {
      if (!unfinished && (this.#past.opened || imported)) throw this.#gone();
      if (imported) await this.#run(["zpool", "destroy", "-f", this.dataset], signal);
      await this.#make(signal);
    } else if (!imported) await this.#import(signal);
  }

  async close(signal: AbortSignal): Promise<void> {
    await this.#zfs.tries(["busy", "absent"], ["zpool", "export", this.dataset], signal);
  }

  /** The host's room must be enough for every byte that the file still lacks. */
  async health(): Promise<PoolHealth> {
    const { files, kernel } = this.#ports;
    const stat = await files.stat(this.#file);
    if (stat === undefined) {
      return {
        state: "warning",
        why: `The file ${this.#file} was deleted while the pool is in use: its data goes when it is closed; copy the volumes elsewhere now`,
      };
    }
    const missingBytes = stat.sizeBytes - stat.allocatedBytes;
    const { availableBytes } = await kernel.statFileSystem(this.#file);
    if (availableBytes >= missingBytes) return { state: "up" };
    return {
      state: "warning",
      why: `The pool's file ${this.#file} may still grow by ${formatBytes(missingBytes)}, but its disk has only ${formatBytes(availableBytes)} left; when that is full, ZFS stops the pool: make room, make the pool with reserve=true, or give the pool a dataset on disks`,
    };
  }

  facts(): DriverFacts {
    return { source: "file", file: this.#file, dataset: this.dataset, loopBacked: true };
  }

  /** @throws {Failure} `failed_precondition` when a pool of this name lies elsewhere. */
  async #isImported(signal: AbortSignal): Promise<boolean> {
    try {
      const status = await this.#run(["zpool", "status", this.dataset], signal);
      if (liesOn(this.#file, status)) return true;
    } catch (thrown) {
      if (reasonOf(thrown) === "absent") return false;
      throw thrown;
    }
    throw new Failure(
      "failed_precondition",
      `Cannot open the pool: another ZFS pool named ${this.dataset} is there, which does not lie on ${this.#file}; export it`,
    );
  }

  async #import(signal: AbortSignal): Promise<void> {
    const offered = parseImportable(
      await this.#run(["zpool", "import", "-d", this.#directory], signal).catch(noneOffered),
    );
    const [name, ...more] = offered;
    if (name === undefined || more.length > 0) {
      throw new Failure(
        "unavailable",
        `Cannot open the pool: ZFS finds ${name === undefined ? "no pool" : "several pools"} in ${this.#file}; run "zpool import -d ${this.#directory}" to see what it finds`,
      );
    }
    // Under the name of this directory, wherever the file was before.
    const rename = name === this.dataset ? [] : [this.dataset];
    const options = ["-d", this.#directory, "-o", "cachefile=none"];
    await this.#run(["zpool", "import", ...options, name, ...rename], signal);
  }

  async #make(signal: AbortSignal): Promise<void> {
    const { files } = this.#ports;
    await files.writeText(this.#note, "");
    await files.remove(this.#file);
    await files.createSparse(this.#file, this.#options.sizeBytes);
    if (this.#options.reserved) await this.#reserve(signal);
    // Without cachefile=none the host would bring the pool in by itself; failmode=continue: an error is an error, not a wait.
    const pool = ["-o", "cachefile=none", "-o", "failmode=continue"];
    const datasets = ["-m", "none", "-O", "atime=off"];
    await this.#run(["zpool", "create", ...pool, ...datasets, this.dataset, this.#file], signal);
    for (const property of KERNEL_PROPERTIES) {
      await this.#zfs.tries(["other"], ["zfs", "set", property, this.dataset], signal);
    }
    await files.remove(this.#note);
  }

  async #reserve(signal: AbortSignal): Promise<void> {
    const { files, exec } = this.#ports;
    const { sizeBytes } = this.#options;
    const argv = ["fallocate", "--length", String(sizeBytes), this.#file] as const;
    const { code, stderr } = await exec.run(argv, { timeoutMs: RESERVE_TIMEOUT_MS }, signal);
    if (code === 0) return;
    // What it got before the disk was full would keep others from working.
    await files.remove(this.#file);
    throw new Failure(
      "resource_exhausted",
      `Cannot reserve ${formatBytes(sizeBytes)} for the pool's file ${this.#file}: its disk has no room for it; make room, or leave reserve out`,
      { cause: new Error(stderr) },
    );
  }

  #run(argv: readonly ["zfs" | "zpool", ...string[]], signal: AbortSignal): Promise<string> {
    return this.#zfs.run(`Cannot open the pool in ${this.#file}`, argv, signal, POOL_TIMEOUT_MS);
  }

  #gone(): Failure {
    return new Failure(
      "unavailable",
      `Cannot open the pool: its file ${this.#file} is gone, and the volumes with it; put it back`,
    );
  }
}

/** ZFS exits with 1 and says nothing when it finds no pool. */
function noneOffered(thrown: unknown): string {
  if (reasonOf(thrown) === "other") return "";
  throw thrown;
}

/** `lagan-` and 16 hex digits: two FNV-1a hashes of the path, 32 bits each. */
function poolNameOf(directory: string): string {
  return `lagan-${[0x811c9dc5, 0x9747b28c].map((seed) => hash(directory, seed)).join("")}`;
}

function hash(text: string, seed: number): string {
  let state = seed;
  for (const character of text) {
    state = Math.imul(state ^ (character.codePointAt(0) ?? 0), 0x01000193);
  }
  return (state >>> 0).toString(16).padStart(8, "0");
}
