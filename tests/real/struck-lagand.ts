import { spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { eventually } from "./command.ts";
import type { Machine } from "./machine.ts";

/** The system calls that change something outside the process. */
const EFFECTS = [
  ...["ioctl", "mkdir", "mkdirat", "rename", "renameat", "renameat2", "unlink", "unlinkat"],
  ...["rmdir", "symlink", "symlinkat", "fsync", "fdatasync", "pwrite64", "ftruncate"],
  ...["mount", "umount2"],
  ...["chown", "lchown", "fchown", "fchownat", "fchmod", "fchmodat", "sync", "syncfs"],
] as const;

/** The n-th call of this name, counted in each thread: whoever makes it first is killed before it. */
export interface CrashPoint {
  readonly call: string;
  readonly nth: number;
}

/**
 * Calls on files come from one thread, so that counting per thread (strace knows no other) counts them all.
 */
export const COUNTABLE: NodeJS.ProcessEnv = { UV_THREADPOOL_SIZE: "1" };

/** A strace on a process, until it is disposed of. */
class Trace implements AsyncDisposable {
  readonly #exited: Promise<unknown>;
  readonly #end: () => void;
  readonly #file: string;

  private constructor(file: string, exited: Promise<unknown>, end: () => void) {
    this.#file = file;
    this.#exited = exited;
    this.#end = end;
  }

  static async of(pid: number, file: string, args: readonly string[]): Promise<Trace> {
    await writeFile(file, "");
    const argv = ["-f", "-o", file, ...args, "-p", String(pid)];
    const child = spawn("strace", argv, { stdio: ["ignore", "ignore", "pipe"] });
    const exited = new Promise((resolve) => child.once("exit", resolve));
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    await eventually("strace is attached", () => {
      // What it watches may have ended already.
      if (/attached/.test(said)) return true;
      if (child.exitCode !== null) throw new Error(`strace ended: ${said}`);
      return false;
    });
    // What dies while it is traced can keep strace 6.1 waiting for ever, and waits for it: so no signal that it handles.
    return new Trace(file, exited, () => child.kill("SIGKILL"));
  }

  text(): Promise<string> {
    return readFile(this.#file, "utf8");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end();
    await this.#exited;
  }
}

/** All crash points that `work` passes in the lagand of a machine. */
export async function findCrashPoints(
  machine: Machine,
  work: () => Promise<unknown>,
): Promise<readonly CrashPoint[]> {
  const args = ["-e", `trace=${EFFECTS.join()}`];
  await using trace = await Trace.of(machine.lagand.pid, machine.path("trace"), args);
  await work();
  return crashPoints(await trace.text());
}

/** Does `work` on a lagand that is killed at the point. */
export async function strike(
  machine: Machine,
  { call, nth }: CrashPoint,
  work: () => Promise<unknown>,
): Promise<{ readonly acknowledged: boolean; readonly struck: boolean }> {
  const args = ["-e", `trace=${call}`, "-e", `inject=${call}:signal=KILL:when=${nth}`];
  const { lagand } = machine;
  let acknowledged = false;
  let settled = false;
  let struck = false;
  {
    await using trace = await Trace.of(lagand.pid, machine.path("trace"), args);
    void work().then(
      () => {
        acknowledged = true;
        settled = true;
      },
      () => {
        settled = true;
      },
    );
    await eventually(
      "done or dead",
      async () => {
        struck = /= \?$|killed by SIGKILL/m.test(await trace.text());
        return struck || settled;
      },
      { timeoutMs: 60_000, everyMs: 5 },
    );
    if (struck && lagand.running) process.kill(lagand.pid, "SIGKILL");
  }
  await lagand.kill();
  await eventually("the call has ended", () => settled);
  return { acknowledged, struck };
}

/** Holds a command back until SIGCONT, so that a strace can be there first. */
export const HELD_BACK: readonly string[] = ["sh", "-c", 'kill -STOP $$; exec "$@"', "sh"];

/** The points in the text of a trace: for each call as many as the busiest thread made. */
function crashPoints(trace: string): readonly CrashPoint[] {
  const counts = new Map<string, Map<string, number>>();
  for (const line of trace.split("\n")) {
    const [, thread, call] = /^(\d+) +(\w+)\(/.exec(line) ?? [];
    if (thread === undefined || call === undefined) continue;
    // strace 6.1 shows calls that are newer than itself, and takes no such name: statmount(2), which changes nothing.
    if (call.startsWith("syscall_")) continue;
    const threads = counts.get(call) ?? new Map<string, number>();
    threads.set(thread, (threads.get(thread) ?? 0) + 1);
    counts.set(call, threads);
  }
  return [...counts].flatMap(([call, threads]) =>
    Array.from({ length: Math.max(...threads.values()) }, (_, index) => ({ call, nth: index + 1 })),
  );
}

/** Every one when `LAGAN_CRASH_POINTS=all`, else `limit` of them, evenly spread. */
export function sampled(points: readonly CrashPoint[], limit: number): readonly CrashPoint[] {
  if (process.env["LAGAN_CRASH_POINTS"] === "all" || points.length <= limit) return points;
  return Array.from(
    { length: limit },
    (_, index) => points[Math.floor(((index + 0.5) * points.length) / limit)] as CrashPoint,
  );
}
