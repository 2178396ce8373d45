import { readdir, readFile, readlink } from "node:fs/promises";
import type { MountNamespace } from "../core/ports/kernel.ts";
import { parseMountInfo } from "./mountinfo.ts";

/** How many processes are looked at at once. */
const CONCURRENCY = 16;

/** Every mount namespace that a running process is in; see `Kernel.mountNamespaces`. */
export async function readMountNamespaces(): Promise<readonly MountNamespace[]> {
  const own = await readlink("/proc/self/ns/mnt");
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  pids.sort((a, b) => a - b);
  const namespaceOf = new Map<number, string>();
  await each(pids, async (pid) => {
    const link = await readlink(`/proc/${pid}/ns/mnt`);
    namespaceOf.set(pid, link);
  });
  const first = new Map<string, number>();
  for (const pid of pids) {
    const namespace = namespaceOf.get(pid);
    if (namespace !== undefined && !first.has(namespace)) first.set(namespace, pid);
  }
  const found: MountNamespace[] = [];
  await each([...first], async ([link, pid]) => {
    const [mountinfo, command, cgroup] = await Promise.all(
      ["mountinfo", "comm", "cgroup"].map((file) => readFile(`/proc/${pid}/${file}`, "utf8")),
    );
    found.push({
      pid,
      command: (command ?? "").trimEnd(),
      containerId: containerOf(cgroup ?? ""),
      own: link === own,
      entries: parseMountInfo(mountinfo ?? ""),
    });
  });
  return found.sort((a, b) => a.pid - b.pid);
}

/** The last 64 hex digits in `/proc/PID/cgroup`: how every engine names a container's cgroup. */
function containerOf(cgroup: string): string | null {
  return cgroup.match(/[0-9a-f]{64}/g)?.at(-1) ?? null;
}

/** Does `work` for each item, some at once. A process that ends meanwhile, or is not ours to see, is passed over. */
async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  const worker = async (): Promise<void> => {
    for (const item of rest) await work(item).catch(() => undefined);
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
}
