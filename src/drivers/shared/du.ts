import { Failure } from "../../core/failure.ts";
import type { Exec, ExecResult } from "../../core/ports/exec.ts";

/** Longest that a tree is counted, in milliseconds. */
export const DU_TIMEOUT_MS = 60_000;

/**
 * Bytes that a tree has allocated, counted by walking it (GNU du), staying on its file system.
 *
 * @throws {Failure} `deadline_exceeded` past {@link DU_TIMEOUT_MS}.
 */
export async function countAllocatedBytes(
  exec: Exec,
  path: string,
  signal: AbortSignal,
): Promise<number> {
  const argv = ["du", "-s", "-x", "--block-size=1", "--", path] as const;
  return parseDu(path, await exec.run(argv, { timeoutMs: DU_TIMEOUT_MS }, signal));
}

/** @throws {Failure} `unknown` when du says no figure, or could not read a part that is still there. */
export function parseDu(path: string, { code, stdout, stderr }: ExecResult): number {
  const figure = /^(\d+)\t/.exec(stdout)?.[1];
  // Containers delete files while du walks: those count as nothing, and du exits 1 for them.
  const serious = stderr
    .split("\n")
    .filter((line) => line !== "" && !line.endsWith(": No such file or directory"));
  if (figure === undefined || (code !== 0 && serious.length > 0)) {
    throw new Failure("unknown", `Cannot count the bytes of ${path}: du exited with ${code}`, {
      cause: new Error(stderr),
    });
  }
  return Number(figure);
}
