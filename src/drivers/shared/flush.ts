import type { Files } from "../../core/ports/files.ts";

/**
 * Makes all that was written so far to the file system of `path` durable. No single port call does: containers, not we,
 * write the content of layers.
 *
 * @throws {Failure} `data_loss` when something could not be written.
 */
export async function flushFileSystem(
  files: Files,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  await files.syncFileSystem(path);
}
