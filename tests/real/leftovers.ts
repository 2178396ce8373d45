import { existsSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/*
 * What a machine has on the host, found by its name: a random word that is in the path of its scratch
 * directory, in the environment of all that it starts, and in the cgroup of its containers.
 */

/** Pids of the processes that belong to the machine `name`, containers included; never this one and those that started it. */
export function findProcesses(name: string): readonly number[] {
  const own = new Set(lineOf(process.pid));
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry) && !own.has(Number(entry)))
    .filter((pid) => ["cmdline", "environ", "cgroup"].some((file) => tells(pid, file, name)))
    .filter((pid) => stateOf(pid) !== "Z")
    .map(Number);
}

/** A process, its parent, and so on. */
function lineOf(pid: number): readonly number[] {
  const parent = /^PPid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1];
  return parent === undefined || parent === "0" ? [pid] : [pid, ...lineOf(Number(parent))];
}

function tells(pid: string, file: string, name: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1").includes(name);
  } catch {
    return false;
  }
}

/** One letter of proc(5); undefined when the process is gone. */
function stateOf(pid: string | number): string | undefined {
  try {
    return /\) (\w)/.exec(readFileSync(`/proc/${pid}/stat`, "latin1"))?.[1];
  } catch {
    return undefined;
  }
}

/** Loop devices whose file is in the machine's directory. */
export function findLoops(name: string): readonly string[] {
  return readdirSync("/sys/block")
    .filter((device) => device.startsWith("loop"))
    .filter((device) => {
      try {
        return readFileSync(`/sys/block/${device}/loop/backing_file`, "utf8").includes(name);
      } catch {
        // Others come and go meanwhile: it has no file, or none any more.
        return false;
      }
    })
    .map((device) => `/dev/${device}`);
}

/** Lines of the host's own mount table that name the machine. */
export function findMounts(name: string): readonly string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(name));
}

/** Directories of the machine's cgroups, innermost first; both layouts of the hierarchy. */
export function findCgroups(name: string): readonly string[] {
  const root = "/sys/fs/cgroup";
  const roots = [root, ...subdirectories(root)];
  return roots
    .map((parent) => join(parent, name))
    .filter((directory) => existsSync(directory))
    .flatMap(innermostFirst);
}

function innermostFirst(directory: string): readonly string[] {
  return [...subdirectories(directory).flatMap(innermostFirst), directory];
}

function subdirectories(directory: string): readonly string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(directory, entry.name));
  } catch {
    return [];
  }
}

/** Lets paused containers run, so that they can be killed (cgroup v1; with v2 they can be anyway). */
export function thawCgroups(name: string): void {
  for (const directory of findCgroups(name)) {
    const file = join(directory, "freezer.state");
    if (existsSync(file)) writeFileSync(file, "THAWED");
  }
}

/** Removes the machine's cgroups; those that still hold a process stay. */
export function removeCgroups(name: string): void {
  for (const directory of findCgroups(name)) {
    try {
      rmdirSync(directory);
    } catch {
      // Told by listLeftovers.
    }
  }
}

/** All that is still there of a machine, a line each. */
export function listLeftovers(name: string, directory: string): readonly string[] {
  return [
    ...findProcesses(name).map((pid) => `process ${pid}: ${commandOf(pid)}`),
    ...findMounts(name).map((line) => `mount ${line}`),
    ...findLoops(name).map((device) => `loop device ${device}`),
    ...findCgroups(name).map((path) => `cgroup ${path}`),
    ...(existsSync(directory) ? [`directory ${directory}`] : []),
  ];
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
  } catch {
    return "(ended)";
  }
}
