import { Failure } from "../../core/failure.ts";
import type { Exec } from "../../core/ports/exec.ts";

const FORMAT_TIMEOUT_MS = 120_000;

/**
 * Makes a btrfs on an empty file or device. mkfs.btrfs itself refuses one that has a file system, a partition
 * table or a mount on it: it is never forced.
 *
 * @throws {Failure} `failed_precondition` when it refuses, with its words as the cause.
 */
export async function formatBtrfs(exec: Exec, path: string, signal: AbortSignal): Promise<void> {
  const argv = ["mkfs.btrfs", "--quiet", "--label", "lagan", path] as const;
  const { code, stderr } = await exec.run(argv, { timeoutMs: FORMAT_TIMEOUT_MS }, signal);
  if (code === 0) return;
  throw new Failure("failed_precondition", `Cannot make a btrfs on ${path}: ${parseMkfs(stderr)}`, {
    cause: new Error(stderr),
  });
}

/** Why mkfs.btrfs refused, in one sentence. */
export function parseMkfs(stderr: string): string {
  if (/appears to contain|existing filesystem|partition table/.test(stderr)) {
    return "there is something else on it; if that is of no worth, wipe it (wipefs --all) and try again";
  }
  if (/is mounted/.test(stderr)) return "it is mounted; unmount it first";
  const line = stderr.split("\n").find((text) => text.startsWith("ERROR: "));
  return line === undefined ? "mkfs.btrfs failed" : line.slice("ERROR: ".length);
}
