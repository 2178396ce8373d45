import { dirname } from "node:path";
import type { Kernel } from "../core/ports/kernel.ts";
import { parseMountInfo } from "./mountinfo.ts";
import { syscallThreads } from "./syscall-threads.ts";
import { withThawKeepers } from "./thaw-keeper.ts";

/** Of the whole process, whichever thread reads it. */
const MOUNT_TABLE = "/proc/self/mountinfo";
const MOUNT_TABLE_LIMIT_BYTES = 64 * 1024 ** 2;
/** How many qgroups of removed subvolumes are remembered for removal; the oldest are let go. */
const STALE_QGROUP_LIMIT = 1_000;
/** How many of them are tried at a time. */
const STALE_QGROUP_BATCH = 32;

/** A removed subvolume: its id, and the id of its file system. */
interface StaleQgroup {
  readonly fileSystem: string;
  readonly id: number;
}

let staleQgroups: StaleQgroup[] = [];

/** This machine's kernel, by system calls in threads. */
export const hostKernel: Kernel = {
  mount: (request) => syscallThreads.call("mountRequest", request),
  unmount: (target) => syscallThreads.call("unmountTarget", target),
  mountTable: async () => {
    const [text] = await syscallThreads.call("readTexts", [MOUNT_TABLE], MOUNT_TABLE_LIMIT_BYTES);
    return parseMountInfo(text ?? "");
  },
  mountOf: (path) => syscallThreads.call("mountOf", path),
  mountNamespaces: async (place) =>
    (await syscallThreads.call("readNamespaces", place)).map(({ mountinfo, ...namespace }) => ({
      ...namespace,
      entries: parseMountInfo(mountinfo),
    })),
  statFileSystem: (path) => syscallThreads.call("statFileSystem", path),
  cloneFile: (source, target) => syscallThreads.call("cloneFile", source, target),
  cloneFrozen: async (images) => {
    const frozen = images.flatMap((image) => image.frozen ?? []);
    await Promise.all(frozen.map((at) => syscallThreads.call("syncFileSystemOf", at)));
    return withThawKeepers(frozen, (freezeBeforeMs) =>
      syscallThreads.call("cloneFrozen", images, freezeBeforeMs),
    );
  },
  exclusiveBytes: (path) => syscallThreads.call("exclusiveBytes", path),
  thaw: (path) => syscallThreads.call("thaw", path),
  attachLoop: (file) => syscallThreads.call("attachLoop", file),
  attachDevice: (file, { readOnly }) => syscallThreads.call("attachDevice", file, readOnly),
  findLoops: (file) => syscallThreads.call("findLoops", file),
  detachLoop: (device) => syscallThreads.call("detachLoop", device),
  createSubvolume: (path) => syscallThreads.call("createSubvolume", path),
  snapshotSubvolume: (source, target, { readOnly }) =>
    syscallThreads.call("snapshotSubvolume", source, target, readOnly),
  removeSubvolume: async (path) => {
    const removed = await syscallThreads.call("removeSubvolume", path);
    if (removed === undefined) return;
    const { fileSystem, ids } = removed;
    staleQgroups.push(...ids.map((id) => ({ fileSystem, id })));
    await removeStaleQgroups(fileSystem, dirname(path));
  },
  findSubvolume: (path) => syscallThreads.call("findSubvolume", path),
  hasSubvolumeChanged: (path, snapshot) =>
    syscallThreads.call("hasSubvolumeChanged", path, snapshot),
  setSubvolumeReadOnly: (path, readOnly) =>
    syscallThreads.call("setSubvolumeReadOnly", path, readOnly),
  commitSubvolumes: (path) => syscallThreads.call("commitSubvolumes", path),
  enableQuotas: (path) => syscallThreads.call("enableQuotas", path),
  limitSubvolume: (path, sizeBytes) => syscallThreads.call("limitSubvolume", path, sizeBytes),
  subvolumeUsage: (path) => syscallThreads.call("subvolumeUsage", path),
};

/**
 * A removed subvolume leaves its qgroup behind until btrfs has cleaned the subvolume away, in its own time. So they are
 * removed at later removals, as far as that works. @param path Any directory of the file system.
 */
async function removeStaleQgroups(fileSystem: string, path: string): Promise<void> {
  const due = staleQgroups
    .filter((stale) => stale.fileSystem === fileSystem)
    .slice(0, STALE_QGROUP_BATCH);
  const ids = due.map(({ id }) => id);
  const left = new Set(await syscallThreads.call("removeQgroups", path, ids).catch(() => ids));
  staleQgroups = staleQgroups
    .filter((stale) => !due.includes(stale) || left.has(stale.id))
    .slice(-STALE_QGROUP_LIMIT);
}
