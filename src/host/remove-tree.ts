import { dirname } from "node:path";
import { Failure, type FailureCode } from "../core/failure.ts";
import { hostExec } from "./exec.ts";
import { removeTreesInThread } from "./tree-threads.ts";

/** Longest removal of a tree, in milliseconds: a day. */
const TIMEOUT_MS = 86_400_000;
/** What rm(1) says, in the C locale, of errors that are not a precondition. */
const CODE_OF_REASON: Readonly<Record<string, FailureCode>> = {
  "Input/output error": "data_loss",
  "Structure needs cleaning": "data_loss",
  "Operation not permitted": "permission_denied",
  "Permission denied": "permission_denied",
};

/** How often rm(1) is asked, when something in the tree was renamed while it walked. */
const ROUNDS = 8;
/** What it says then. */
const RENAMED: readonly string[] = [
  "Is a directory",
  "Not a directory",
  "Directory not empty",
  "No such file or directory",
];

/**
 * Runs rm(1) where no mount below the tree can be seen: in a mount namespace of its own, which hears nothing of the host's
 * later mounts, through a bind of the parent directory without what is mounted in it. rm(1) does not tell a bind mount
 * of the same file system from a directory, and would empty what is mounted.
 */
const ALONE = [
  ...["unshare", "--mount", "--propagation", "private", "sh", "-c"],
  'mount -n --bind -- "$1" "$1" && exec rm -rf --one-file-system -- "$2"',
  "remove",
] as const;

/**
 * Removes the trees at `paths`, in this order, up to the first that cannot go: in a thread, without a process; and one that this
 * could not get through, because it was renamed meanwhile or is too deep, by rm(1), which walks by descriptors too.
 *
 * @throws {Failure} `failed_precondition` when something is mounted in one, of whatever file system.
 */
export async function removeTrees(paths: readonly string[], signal: AbortSignal): Promise<void> {
  let rest = paths;
  for (let round = 1; ; round++) {
    const done = await removeTreesInThread(rest, signal);
    // So many tries has each tree.
    if (done > 0) round = 1;
    rest = rest.slice(done);
    const [path] = rest;
    if (path === undefined) return;
    if (await removeByProcess(path, round < ROUNDS, signal)) rest = rest.slice(1);
  }
}

/** False: something in the tree was renamed meanwhile, which is worth another try. */
async function removeByProcess(
  path: string,
  again: boolean,
  signal: AbortSignal,
): Promise<boolean> {
  signal.throwIfAborted();
  const { code, stderr } = await hostExec.run(
    [...ALONE, dirname(path), path],
    { timeoutMs: TIMEOUT_MS },
    signal,
  );
  if (code === 0) return true;
  const [why = ""] = stderr.split("\n");
  const reason = why.slice(why.lastIndexOf(": ") + 2);
  if (RENAMED.includes(reason) && again) return false;
  throw new Failure(
    CODE_OF_REASON[reason] ?? "failed_precondition",
    `Cannot remove ${path}: ${why === "" ? `rm ended with status ${code}` : why}`,
  );
}
