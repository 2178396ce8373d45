import { Failure } from "../../core/failure.ts";
import { EXEC_OUTPUT_LIMIT_BYTES, type Exec } from "../../core/ports/exec.ts";
import { linesOf, parseProperties, reasonOf, zfsFailure } from "./parse.ts";

/** Longest that a command may take, in milliseconds: a suspended pool answers none. */
const TIMEOUT_MS = 60_000;
/** Longest that bringing a ZFS pool in or out may take: what was written last is replayed. */
export const POOL_TIMEOUT_MS = 300_000;
/** Datasets named in one command: their properties stay far below what is kept of a command's output. */
const NAMES_PER_COMMAND = 500;
/** How often something busy is tried again: zfs-fuse lets go of a dataset a moment after its unmount. */
const BUSY_LIMIT = 40;
const BUSY_PAUSE_S = "0.05";

/** One snapshot, as `zfs list` tells it. */
export interface SnapshotRow {
  readonly dataset: string;
  /** Its name after the `@`. */
  readonly snapshot: string;
  /** Destroyed, and there only until nothing is made from it any more. */
  readonly deferred: boolean;
}

/** Runs `zfs` and `zpool`. Both wait until what they changed is on disk. */
export class ZfsCommands {
  readonly #exec: Exec;

  constructor(exec: Exec) {
    this.#exec = exec;
  }

  /** What the command printed. @param attempt For the failure; begins with `Cannot`. @throws {Failure} as `zfsFailure`. */
  async run(
    attempt: string,
    argv: readonly ["zfs" | "zpool", ...string[]],
    signal: AbortSignal,
    timeoutMs: number = TIMEOUT_MS,
  ): Promise<string> {
    const result = await this.#exec.run(argv, { timeoutMs }, signal);
    if (result.code !== 0) throw zfsFailure(attempt, result);
    return result.stdout;
  }

  /** As {@link run}, again for a while when what it is about is busy. */
  async runPatiently(
    attempt: string,
    argv: readonly ["zfs" | "zpool", ...string[]],
    signal: AbortSignal,
  ): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await this.run(attempt, argv, signal);
        return;
      } catch (thrown) {
        if (reasonOf(thrown) !== "busy" || tries >= BUSY_LIMIT) throw thrown;
      }
      await this.#exec.run(["sleep", BUSY_PAUSE_S], { timeoutMs: TIMEOUT_MS }, signal);
    }
  }

  /** As {@link run}; false when a command fails for one of `reasons`. */
  async tries(
    reasons: readonly (string | undefined)[],
    argv: readonly ["zfs" | "zpool", ...string[]],
    signal: AbortSignal,
  ): Promise<boolean> {
    try {
      await this.runPatiently(`Cannot run ${argv.slice(0, 2).join(" ")}`, argv, signal);
      return true;
    } catch (thrown) {
      if (reasons.includes(reasonOf(thrown))) return false;
      throw thrown;
    }
  }

  /** Properties of datasets, exact. @throws {Failure} `not_found` when one is absent. */
  async properties(
    names: readonly string[],
    properties: readonly string[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, ReadonlyMap<string, string>>> {
    const found = new Map<string, ReadonlyMap<string, string>>();
    const options = ["-Hp", "-o", "name,property,value", properties.join(",")];
    for (let at = 0; at < names.length; at += NAMES_PER_COMMAND) {
      const some = names.slice(at, at + NAMES_PER_COMMAND);
      const text = await this.run(
        "Cannot read datasets",
        ["zfs", "get", ...options, ...some],
        signal,
      );
      for (const [name, values] of parseProperties(text)) found.set(name, values);
    }
    return found;
  }

  /** Properties of one dataset; undefined when it is absent. */
  async find(
    name: string,
    properties: readonly string[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, string> | undefined> {
    try {
      return (await this.properties([name], properties, signal)).get(name);
    } catch (thrown) {
      if (reasonOf(thrown) === "absent") return undefined;
      throw thrown;
    }
  }

  /** Names of the datasets right below one. */
  async children(dataset: string, signal: AbortSignal): Promise<readonly string[]> {
    const argv = [
      "zfs",
      "list",
      "-H",
      "-d",
      "1",
      "-t",
      "filesystem",
      "-o",
      "name",
      dataset,
    ] as const;
    const names = linesOf(whole(await this.run("Cannot list datasets", argv, signal)));
    return names.filter((name) => name !== dataset);
  }

  /** All snapshots of these datasets, each dataset's oldest first. */
  async snapshots(
    datasets: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly SnapshotRow[]> {
    if (datasets.length === 0) return [];
    const columns = "name,defer_destroy";
    const argv = ["zfs", "list", "-H", "-d", "1", "-t", "snapshot", "-o", columns] as const;
    const half = Math.ceil(datasets.length / 2);
    if (datasets.length <= NAMES_PER_COMMAND) {
      const text = await this.run("Cannot list snapshots", [...argv, ...datasets], signal);
      if (!isCut(text) || datasets.length === 1) {
        return linesOf(whole(text)).map(parseSnapshot);
      }
    }
    const first = await this.snapshots(datasets.slice(0, half), signal);
    return [...first, ...(await this.snapshots(datasets.slice(half), signal))];
  }
}

function parseSnapshot(line: string): SnapshotRow {
  const [name = "", deferred = ""] = line.split("\t");
  const [dataset = "", snapshot = ""] = name.split("@");
  return { dataset, snapshot, deferred: deferred === "on" };
}

function isCut(text: string): boolean {
  return text.length >= EXEC_OUTPUT_LIMIT_BYTES;
}

/** @throws {Failure} `resource_exhausted` when a part of the output may be missing. */
function whole(text: string): string {
  if (!isCut(text)) return text;
  throw new Failure(
    "resource_exhausted",
    "Cannot list the datasets or snapshots of the pool: there are more than ten thousand in one place; remove some with zfs destroy",
  );
}
