import { Failure } from "../../core/failure.ts";
import type { DriverFacts, PoolHealth } from "../../core/ports/storage-driver.ts";
import type { PoolPast } from "../shared/pool-directory.ts";
import type { DriverPorts } from "../shared/ports.ts";
import type { ZfsCommands } from "./commands.ts";
import type { ZfsPlace } from "./place.ts";

/** User property of a dataset that says whose it is: the directory of the pool. */
const OWNER_PROPERTY = "lagan:pool";

/** A dataset in somebody's ZFS pool, with nothing else in it. */
export class GivenDataset implements ZfsPlace {
  readonly dataset: string;
  readonly #poolDirectory: string;
  readonly #ports: DriverPorts;
  readonly #zfs: ZfsCommands;
  readonly #past: PoolPast;

  constructor(
    dataset: string,
    poolDirectory: string,
    ports: DriverPorts,
    zfs: ZfsCommands,
    past: PoolPast,
  ) {
    this.dataset = dataset;
    this.#poolDirectory = poolDirectory;
    this.#ports = ports;
    this.#zfs = zfs;
    this.#past = past;
  }

  async open(signal: AbortSignal): Promise<void> {
    const found = await this.#zfs.find(
      this.dataset,
      ["mountpoint", "mounted", OWNER_PROPERTY],
      signal,
    );
    if (found === undefined) {
      await this.#create(signal);
      return;
    }
    const owner = found.get(OWNER_PROPERTY) ?? "-";
    if (owner === this.#poolDirectory) return;
    if (owner !== "-") {
      throw new Failure(
        "failed_precondition",
        `Cannot open the pool in dataset ${this.dataset}: it belongs to the pool in ${owner}; if that is this one, moved, run: zfs set ${OWNER_PROPERTY}=${this.#poolDirectory} ${this.dataset}`,
      );
    }
    const mountpoint = found.get("mounted") === "yes" ? (found.get("mountpoint") ?? "-") : "-";
    await this.#ensureEmpty(mountpoint, signal);
    await this.#own(signal);
  }

  /** The ZFS pool is not ours to export. */
  async close(): Promise<void> {}

  async health(): Promise<PoolHealth> {
    return { state: "up" };
  }

  facts(): DriverFacts {
    return { source: "dataset", dataset: this.dataset, loopBacked: false };
  }

  async #create(signal: AbortSignal): Promise<void> {
    if (this.#past.opened) {
      throw new Failure(
        "unavailable",
        `Cannot open the pool: its dataset ${this.dataset} is gone; import the ZFS pool that it is in (zpool import)`,
      );
    }
    const owner = `${OWNER_PROPERTY}=${this.#poolDirectory}`;
    const argv = ["zfs", "create", "-o", "mountpoint=none", "-o", owner, this.dataset] as const;
    await this.#zfs.run(`Cannot create dataset ${this.dataset}`, argv, signal);
  }

  async #ensureEmpty(mountpoint: string, signal: AbortSignal): Promise<void> {
    const children = await this.#zfs.children(this.dataset, signal);
    const names = mountpoint.startsWith("/") ? await this.#ports.files.list(mountpoint) : [];
    const [something] = [...children, ...names];
    if (something === undefined) return;
    throw new Failure(
      "failed_precondition",
      `Cannot make a pool in dataset ${this.dataset}: ${something} is in it; give the pool an empty dataset, or the name of one that is not there yet`,
    );
  }

  async #own(signal: AbortSignal): Promise<void> {
    const owner = `${OWNER_PROPERTY}=${this.#poolDirectory}`;
    const attempt = `Cannot take dataset ${this.dataset}`;
    await this.#zfs.run(attempt, ["zfs", "set", owner, this.dataset], signal);
  }
}
