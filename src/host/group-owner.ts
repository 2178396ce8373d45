import { lstat } from "node:fs/promises";
import { Failure } from "../core/failure.ts";
import { hostExec } from "./exec.ts";

/** Longest that one command may take, in milliseconds: a tree of millions of files. */
const TIMEOUT_MS: number = 3_600_000;
/** `rws` of the group: what is made in such a directory is the group's as well. */
const SHARED = 0o2070;

/**
 * Gives a directory to a group, as Kubernetes means `fsGroup`: the group may read and write all of it, and has what is
 * made there later. A directory whose root is so already is left alone.
 *
 * @param whole Also what is in it: only while nobody else changes it.
 * @throws {Failure} what a command says.
 */
export async function giveToGroup(
  path: string,
  group: number,
  whole: boolean,
  signal: AbortSignal,
): Promise<void> {
  const { gid, mode } = await lstat(path);
  if (gid === group && (mode & SHARED) === SHARED) return;
  if (whole) {
    const files = ["find", "-P", path, "-xdev", "-mindepth", "1"] as const;
    await run(["chgrp", "-R", "-P", "-h", "--", String(group), path], signal);
    await run([...files, "-type", "d", "-exec", "chmod", "g+rwxs", "--", "{}", "+"], signal);
    await run([...files, "-type", "f", "-exec", "chmod", "g+rw", "--", "{}", "+"], signal);
  }
  // Last: by it the whole is known to be done.
  await run(["chgrp", "-h", "--", String(group), path], signal);
  await run(["chmod", "g+rwxs", "--", path], signal);
}

async function run(argv: readonly [string, ...string[]], signal: AbortSignal): Promise<void> {
  const { code, stderr } = await hostExec.run(argv, { timeoutMs: TIMEOUT_MS }, signal);
  if (code === 0) return;
  const why = stderr.split("\n")[0] ?? "";
  throw new Failure("unknown", `Cannot give the volume to group: ${why}`);
}
