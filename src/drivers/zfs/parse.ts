import { Failure, type FailureCode } from "../../core/failure.ts";
import type { ExecResult } from "../../core/ports/exec.ts";
import type { PoolHealth } from "../../core/ports/storage-driver.ts";

/** Why a command failed, as far as callers tell cases apart. */
export type ZfsReason = "busy" | "dependents" | "absent" | "present" | "down" | "other";

/** What zfs and zpool say when they fail (zfs-fuse 0.7.0, OpenZFS 2.1), most telling first. */
const SAYINGS: readonly (readonly [RegExp, FailureCode, ZfsReason])[] = [
  [/zfs-fuse daemon is running|failed to initialize ZFS library/, "unavailable", "down"],
  [/ZFS modules? (are|is|cannot be)|\/dev\/zfs/, "unavailable", "down"],
  [/I\/O is currently suspended/, "unavailable", "down"],
  [/has dependent clones|has children/, "failed_precondition", "dependents"],
  [/already exists/, "already_exists", "present"],
  [/does not exist|no such pool|could not find any snapshots/, "not_found", "absent"],
  [/already mounted/, "already_exists", "present"],
  [/busy/, "failed_precondition", "busy"],
  [/size is less than current used/, "failed_precondition", "other"],
  [/out of space|no space left|quota exceeded/i, "resource_exhausted", "other"],
  [/permission denied|must be superuser|Operation not permitted/i, "permission_denied", "other"],
  [/I\/O error|Input\/output error|corrupt/i, "data_loss", "other"],
  [/invalid property|not supported|must be one of|unsupported/, "unimplemented", "other"],
];

const START = "start ZFS: systemctl start zfs-fuse, or modprobe zfs for the kernel's";

/** The failure that a command's exit status and error output tell. @param attempt Begins with `Cannot`. */
export function zfsFailure(attempt: string, { code, stderr }: ExecResult): Failure {
  const [, failureCode, reason] = SAYINGS.find(([saying]) => saying.test(stderr)) ?? [];
  const said = stderr.trim().split("\n", 1)[0] ?? "";
  const why = said === "" ? `it exited with ${code}` : said;
  const advice = reason === "down" ? `; ${START}` : "";
  return new Failure(failureCode ?? "unknown", `${attempt}: ${why}${advice}`, {
    detail: { zfs: reason ?? "other" },
    cause: new Error(stderr),
  });
}

/** Why a command of ZFS failed; undefined: something else failed. */
export function reasonOf(thrown: unknown): ZfsReason | undefined {
  const reason = thrown instanceof Failure ? thrown.detail["zfs"] : undefined;
  return reason as ZfsReason | undefined;
}

/** Lines of `zfs get -Hp -o name,property,value …`, by dataset. A property without value is `-`. */
export function parseProperties(stdout: string): ReadonlyMap<string, ReadonlyMap<string, string>> {
  const datasets = new Map<string, Map<string, string>>();
  for (const line of linesOf(stdout)) {
    const [name = "", property = "", value = ""] = line.split("\t");
    const properties = datasets.get(name) ?? new Map<string, string>();
    datasets.set(name, properties.set(property, value));
  }
  return datasets;
}

/** Lines of `zfs list -H -o name`. */
export function linesOf(stdout: string): readonly string[] {
  return stdout.split("\n").filter((line) => line !== "");
}

/** A figure in bytes of `zfs get -Hp`. @throws {Failure} `unknown` when it is none. */
export function parseBytes(text: string | undefined): number {
  const bytes = /^\d+$/.test(text ?? "") ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(bytes)) return bytes;
  throw new Failure("unknown", `Cannot read a figure of ZFS: it says ${text ?? "nothing"}`);
}

/** What `zpool status POOL` says. */
export function parseHealth(pool: string, stdout: string): PoolHealth {
  const state = /^ *state: (\S+)$/m.exec(stdout)?.[1] ?? "unknown";
  const look = `run "zpool status ${pool}"`;
  // zfs-fuse goes on calling a pool ONLINE that it has stopped; the article that it names tells.
  if (/ZFS-8000-(HC|JQ)\b/.test(stdout) || state === "SUSPENDED") {
    return {
      state: "faulted",
      why: `ZFS has stopped the pool ${pool} after I/O errors, as when the disk under it is full or gone; make room or mend the disk, then run "zpool clear ${pool}"; if that fails, start zfs-fuse again`,
    };
  }
  if (state !== "ONLINE" && state !== "DEGRADED") {
    return { state: "faulted", why: `The ZFS pool ${pool} is ${state}; ${look}` };
  }
  if (state === "DEGRADED") {
    return {
      state: "warning",
      why: `The ZFS pool ${pool} has lost a disk and works with fewer copies; ${look} and replace the disk`,
    };
  }
  const errors = /^errors: (.*)$/m.exec(stdout)?.[1] ?? "";
  if (errors === "" || errors === "No known data errors") return { state: "up" };
  return { state: "warning", why: `Data in the ZFS pool ${pool} is damaged; ${look} to see what` };
}

/** Names of the pools that `zpool import -d DIRECTORY` offers. */
export function parseImportable(stdout: string): readonly string[] {
  return [...stdout.matchAll(/^\s*pool: (\S+)$/gm)].map(([, name = ""]) => name);
}

/** True when `zpool status POOL` shows `file` among what the pool lies on. */
export function liesOn(file: string, stdout: string): boolean {
  return linesOf(stdout).some(
    (line) => line.startsWith("\t") && line.trim().startsWith(`${file} `),
  );
}
