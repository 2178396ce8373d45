import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * Gives the whole test run a temporary directory of its own, and at its end fails the run when anything of it is
 * left on the machine: a mount, a loop device, a process or a file. For vitest's `globalSetup`.
 */
export function setup(): () => void {
  // Short: paths of unix sockets end at 107 bytes.
  const directory = mkdtempSync(join(tmpdir(), "lt-"));
  process.env["TMPDIR"] = directory;
  return () => {
    const left = leftovers(directory);
    rmSync(directory, { recursive: true, force: true });
    if (left.length > 0) throw new Error(`The tests left behind:\n${left.join("\n")}`);
  };
}

function leftovers(directory: string): readonly string[] {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  return [
    ...mounts.filter((line) => line.includes(directory)).map((line) => `mount ${line}`),
    ...loopFiles()
      .filter((line) => line.includes(directory))
      .map((line) => `loop device ${line}`),
    ...processes(directory),
    ...readdirSync(directory).map((name) => `file ${join(directory, name)}`),
  ];
}

function loopFiles(): readonly string[] {
  return readdirSync("/sys/block").flatMap((device) => {
    const file = tryRead(`/sys/block/${device}/loop/backing_file`);
    return file === undefined ? [] : [`${device} ${file.trim()}`];
  });
}

/** Processes started with a path of the run in their arguments. The runner's own have it in their environment only. */
function processes(directory: string): readonly string[] {
  return readdirSync("/proc").flatMap((pid) => {
    const command = /^\d+$/.test(pid) ? tryRead(`/proc/${pid}/cmdline`) : undefined;
    return command?.includes(directory) ? [`process ${pid} ${command.replaceAll("\0", " ")}`] : [];
  });
}

function tryRead(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
