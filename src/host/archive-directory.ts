import { lstat, opendir } from "node:fs/promises";
import { Failure } from "../core/failure.ts";
import { errnoOf, failureOfErrno } from "./errno.ts";

/** @throws {Failure} `not_found`, or `invalid_argument` when `path` is no directory. @param call "pack" or "unpack into". */
export async function statDirectory(call: string, path: string): Promise<void> {
  const stats = await attempt(call, path, () => lstat(path));
  if (!stats.isDirectory()) throw failureOfErrno(call, path, "ENOTDIR");
}

/** As `statDirectory`, and `failed_precondition` when something is in it. */
export async function checkEmptyDirectory(call: string, path: string): Promise<void> {
  await statDirectory(call, path);
  const first = await attempt(call, path, async () => {
    await using entries = await opendir(path);
    return await entries.read();
  });
  if (first === null) return;
  throw new Failure("failed_precondition", `Cannot ${call} ${path}: the directory is not empty`);
}

async function attempt<T>(call: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    const errno = errnoOf(thrown);
    throw errno === undefined ? thrown : failureOfErrno(call, path, errno, { cause: thrown });
  }
}
