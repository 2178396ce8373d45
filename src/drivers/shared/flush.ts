import { Failure } from "../../core/failure.ts";
import type { Exec } from "../../core/ports/exec.ts";

/** Longest that a file system may take to write out what it holds in memory, in milliseconds. */
const FLUSH_TIMEOUT_MS = 600_000;

/**
 * Makes all that was written so far to the file system of `path` durable (syncfs). No port does: containers, not we,
 * write the content of layers.
 *
 * @throws {Failure} `data_loss` when something could not be written, `deadline_exceeded`.
 */
export async function flushFileSystem(
  exec: Exec,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const argv = ["sync", "--file-system", path] as const;
  const { code, stderr } = await exec.run(argv, { timeoutMs: FLUSH_TIMEOUT_MS }, signal);
  if (code === 0) return;
  throw new Failure("data_loss", `Cannot write out what ${path} holds: sync exited with ${code}`, {
    cause: new Error(stderr),
  });
}
