import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { MountNamespace, MountPlace } from "../core/ports/kernel.ts";
import { errnoOf } from "./errno.ts";
import { linesShowing } from "./mountinfo.ts";

/** A mount namespace with its mount table as the kernel writes it, or the lines of it that were asked for. */
export interface NamespaceText extends Omit<MountNamespace, "entries"> {
  readonly mountinfo: string;
}

/**
 * `Kernel.mountNamespaces`. In one thread: by promises each page of each table would be a wake-up of another one. And
 * picked here: the tables of a host with many volumes are long, and most of what is in them nobody asked for.
 */
export function readNamespaces(place?: MountPlace): readonly NamespaceText[] {
  const own = readlinkSync("/proc/self/ns/mnt");
  const pids = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .sort((a, b) => a - b);
  const pidsOf = new Map<string, number[]>();
  for (const pid of pids) {
    const link = unlessEnded(() => readlinkSync(`/proc/${pid}/ns/mnt`));
    if (link === undefined) continue;
    const inside = pidsOf.get(link);
    if (inside === undefined) pidsOf.set(link, [pid]);
    else inside.push(pid);
  }
  return [...pidsOf].flatMap(([link, inside]) => {
    const namespace = readAny(inside, place);
    return namespace === undefined ? [] : { ...namespace, own: link === own };
  });
}

/** By the first of its processes that still runs. */
function readAny(
  pids: readonly number[],
  place: MountPlace | undefined,
): Omit<NamespaceText, "own"> | undefined {
  for (const pid of pids) {
    const found = unlessEnded(() => {
      const read = (file: string): string => readFileSync(`/proc/${pid}/${file}`, "utf8");
      const mountinfo = read("mountinfo");
      return {
        pid,
        command: read("comm").trimEnd(),
        containerId: containerOf(read("cgroup")),
        mountinfo: place === undefined ? mountinfo : linesShowing(place, mountinfo),
      };
    });
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The last 64 hex digits in `/proc/PID/cgroup`: how every engine names a container's cgroup. */
function containerOf(cgroup: string): string | null {
  return cgroup.match(/[0-9a-f]{64}/g)?.at(-1) ?? null;
}

/** Undefined for a process that has ended while it was looked at, a zombie among them, or is not ours to see. */
function unlessEnded<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (thrown) {
    const passed = ["ENOENT", "ESRCH", "EACCES", "EPERM", "EINVAL"];
    if (!passed.includes(errnoOf(thrown) ?? "")) throw thrown;
    return undefined;
  }
}
