import { spawn } from "node:child_process";
import { once } from "node:events";
import { Failure } from "../core/failure.ts";
import { FREEZE_LIMIT_MS } from "../core/ports/kernel.ts";
import { HOST_PATH } from "./exec.ts";
import { monotonicMs } from "./monotonic.ts";

/**
 * Thaws the file system of the directory "$1" unless it is told "done" within "$2" seconds. When we die, the pipe that
 * it reads from ends. It holds the directory open, so that it finds it again however the mounts change.
 */
const KEEPER = `command -v timeout && command -v head && command -v fsfreeze && exec 3<"$1" || exit
echo ready >&2
word=$(timeout "$2" head -n 1)
[ "$word" = done ] || fsfreeze --unfreeze /proc/self/fd/3`;

/** {@link withThawKeeper} of several directories. */
export async function withThawKeepers<T>(
  [directory, ...others]: readonly string[],
  work: (freezeBeforeMs: number) => Promise<T>,
): Promise<T> {
  if (directory === undefined) return work(Number.POSITIVE_INFINITY);
  return withThawKeeper(directory, (first) =>
    withThawKeepers(others, (rest) => work(Math.min(first, rest))),
  );
}

/**
 * Runs `work`, which freezes the file system of `directory` and thaws it again, while another process stands by to thaw
 * it if this one cannot any more.
 *
 * @param work Gets the instant after which it must not freeze: the other process may soon be gone. On the clock of
 *   `process.hrtime`, in milliseconds.
 * @throws {Failure} `unavailable` when there can be no such process: then nothing is begun.
 */
async function withThawKeeper<T>(
  directory: string,
  work: (freezeBeforeMs: number) => Promise<T>,
): Promise<T> {
  const freezeBeforeMs = monotonicMs() + FREEZE_LIMIT_MS / 2;
  const seconds = String(FREEZE_LIMIT_MS / 1000);
  const child = spawn("sh", ["-c", KEEPER, "thaw-keeper", directory, seconds], {
    // Away from our process group: what ends that must not end it.
    detached: true,
    stdio: ["pipe", "ignore", "pipe"],
    env: { LC_ALL: "C", PATH: HOST_PATH },
    cwd: "/",
  });
  // It may have gone before it is told, which is why nobody relies on it alone.
  child.stdin.on("error", () => undefined);
  const ended = once(child, "close");
  try {
    const ready = await Promise.race([once(child.stderr, "data"), ended]).catch(
      (cause: unknown) => {
        throw new Failure("unavailable", notKept(directory), { cause });
      },
    );
    if (String(ready[0]) !== "ready\n") throw new Failure("unavailable", notKept(directory));
    const result = await work(freezeBeforeMs);
    child.stdin.write("done\n");
    return result;
  } finally {
    child.stdin.end();
    // Until then it has the directory open, which keeps its mount busy.
    await ended.catch(() => undefined);
  }
}

function notKept(directory: string): string {
  return `Cannot freeze ${directory}: no process could be started that would thaw it if this one died (it needs sh, timeout, head and fsfreeze)`;
}
