import { readdir, readFile, readlink } from "node:fs/promises";
import type { MountNamespace } from "../core/ports/kernel.ts";
import { errnoOf } from "./errno.ts";
import { parseMountInfo } from "./mountinfo.ts";

/** How many processes are looked at at once. */
const CONCURRENCY = 16;

/** Every mount namespace that a running process is in; see `Kernel.mountNamespaces`. */
export async function readMountNamespaces(): Promise<readonly MountNamespace[]> {
  const own = await readlink("/proc/self/ns/mnt");
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  pids.sort((a, b) => a - b);
  const pidsOf = new Map<string, number[]>();
  await each(pids, async (pid) => {
    const link = await readlink(`/proc/${pid}/ns/mnt`);
    pidsOf.set(link, [...(pidsOf.get(link) ?? []), pid]);
  });
  const found: MountNamespace[] = [];
  await each([...pidsOf], async ([link, inside]) => {
    const namespace = await readAny(inside.sort((a, b) => a - b));
    if (namespace !== undefined) found.push({ ...namespace, own: link === own });
  });
  return found.sort((a, b) => a.pid - b.pid);
}

/** By the first of its processes that still runs. */
async function readAny(pids: readonly number[]): Promise<Omit<MountNamespace, "own"> | undefined> {
  for (const pid of pids) {
    try {
      const [mountinfo = "", command = "", cgroup = ""] = await Promise.all(
        ["mountinfo", "comm", "cgroup"].map((file) => readFile(`/proc/${pid}/${file}`, "utf8")),
      );
      return {
        pid,
        command: command.trimEnd(),
        containerId: containerOf(cgroup),
        entries: parseMountInfo(mountinfo),
      };
    } catch (thrown) {
      if (!hasEnded(thrown)) throw thrown;
    }
  }
  return undefined;
}

/** The last 64 hex digits in `/proc/PID/cgroup`: how every engine names a container's cgroup. */
function containerOf(cgroup: string): string | null {
  return cgroup.match(/[0-9a-f]{64}/g)?.at(-1) ?? null;
}

/** A process that has ended while it was looked at, a zombie among them, or one that is not ours to see. */
function hasEnded(thrown: unknown): boolean {
  return ["ENOENT", "ESRCH", "EACCES", "EPERM", "EINVAL"].includes(errnoOf(thrown) ?? "");
}

/** Does `work` for each item, some at once; items whose process has ended meanwhile are passed over. */
async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  const worker = async (): Promise<void> => {
    for (const item of rest) {
      try {
        await work(item);
      } catch (thrown) {
        if (!hasEnded(thrown)) throw thrown;
      }
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
}
