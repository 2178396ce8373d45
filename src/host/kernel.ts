import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { Failure } from "../core/failure.ts";
import type { Kernel } from "../core/ports/kernel.ts";
import { parseMountInfo } from "./mountinfo.ts";
import { readMountNamespaces } from "./namespaces.ts";
import { syscallThreads } from "./syscall-threads.ts";

/** How many qgroups of removed subvolumes are remembered for removal; the oldest are let go. */
const STALE_QGROUP_LIMIT = 1_000;
/** How many of them are tried at a time. */
const STALE_QGROUP_BATCH = 32;

/** Where a removed subvolume was, and its id. */
interface StaleQgroup {
  readonly parent: string;
  readonly id: number;
}

let staleQgroups: StaleQgroup[] = [];

/** This machine's kernel, by system calls in threads. */
export const hostKernel: Kernel = {
  mount: (request) => syscallThreads.call("mountRequest", request),
  unmount: (target) => syscallThreads.call("unmountTarget", target),
  mountTable: async () => parseMountInfo(await readFile("/proc/self/mountinfo", "utf8")),
  mountNamespaces: readMountNamespaces,
  statFileSystem: (path) => syscallThreads.call("statFileSystem", path),
  cloneFile: (source, target) => syscallThreads.call("cloneFile", source, target),
  attachLoop: (file) => syscallThreads.call("attachLoop", file),
  findLoops: (file) => syscallThreads.call("findLoops", file),
  detachLoop: (device) => syscallThreads.call("detachLoop", device),
  createSubvolume: (path) => syscallThreads.call("createSubvolume", path),
  snapshotSubvolume: (source, target, { readOnly }) =>
    syscallThreads.call("snapshotSubvolume", source, target, readOnly),
  removeSubvolume: async (path) => {
    const parent = dirname(path);
    const ids = await syscallThreads.call("removeSubvolume", path);
    staleQgroups.push(...ids.map((id) => ({ parent, id })));
    await removeStaleQgroups(parent);
  },
  findSubvolume: (path) => syscallThreads.call("findSubvolume", path),
  setSubvolumeReadOnly: (path, readOnly) =>
    syscallThreads.call("setSubvolumeReadOnly", path, readOnly),
  commitSubvolumes: (path) => syscallThreads.call("commitSubvolumes", path),
  enableQuotas: (path) => syscallThreads.call("enableQuotas", path),
  limitSubvolume: async (path, sizeBytes) => {
    try {
      await syscallThreads.call("limitSubvolume", path, sizeBytes);
    } catch (thrown) {
      // The kernel's word for "quotas are off".
      if (!(thrown instanceof Failure) || !thrown.message.endsWith("ENOTCONN")) throw thrown;
      throw new Failure("failed_precondition", thrown.message, { cause: thrown });
    }
  },
  subvolumeUsage: (path) => syscallThreads.call("subvolumeUsage", path),
};

/**
 * A removed subvolume leaves its qgroup behind until btrfs has cleaned the subvolume away, in its own time
 * (since 6.12 kernels remove it themselves). So they are removed at later removals, as far as that works.
 */
async function removeStaleQgroups(parent: string): Promise<void> {
  const due = staleQgroups.filter((stale) => stale.parent === parent).slice(0, STALE_QGROUP_BATCH);
  const ids = due.map(({ id }) => id);
  const left = new Set(await syscallThreads.call("removeQgroups", parent, ids).catch(() => ids));
  staleQgroups = staleQgroups
    .filter((stale) => !due.includes(stale) || left.has(stale.id))
    .slice(-STALE_QGROUP_LIMIT);
}
