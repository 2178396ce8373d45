import { constants as fs, fstatSync, readFileSync, statfsSync } from "node:fs";
import { basename, dirname } from "node:path";
import type { QuotaUsage, SubvolumeInfo } from "../core/ports/kernel.ts";
import {
  type CallOn,
  commitTransaction,
  createSubvolumeIn,
  destroySubvolume,
  enableQgroups,
  fileSystemIdOf,
  isSubvolumeReadOnly,
  limitBytesOf,
  limitQgroup,
  listSubvolumesIn,
  makeSubvolumeReadOnly,
  pathOfInode,
  ROOT_INODE,
  readHistory,
  recountQgroups,
  removeQgroup,
  type SubvolumeHistory,
  snapshotInto,
  subvolumeIdOf,
} from "./btrfs-ioctl.ts";
import { attempt, errnoOfCall, SyscallError, withFile } from "./libc.ts";
import { findMountIn } from "./mount-in.ts";

/** linux/magic.h */
const BTRFS_SUPER_MAGIC = 0x9123683e;
/** How often the subvolumes inside one are looked for again, should somebody make more meanwhile. */
const REMOVAL_ROUNDS = 8;

/** `Kernel.createSubvolume`. */
export function createSubvolume(path: string): void {
  const on = { call: "create subvolume", path };
  withParent(on, (parent) => createSubvolumeIn(parent, basename(path), on));
}

/** `Kernel.snapshotSubvolume`. */
export function snapshotSubvolume(source: string, target: string, readOnly: boolean): void {
  withSubvolume({ call: "snapshot", path: source }, (fd) => {
    const on = { call: "snapshot", path: `${source} to ${target}` };
    withParent({ call: on.call, path: target }, (parent) =>
      snapshotInto(parent, basename(target), { fd, readOnly }, on),
    );
  });
}

/** Subvolumes that were removed from a file system, by their ids: their qgroups may stay behind. */
export interface RemovedSubvolumes {
  readonly fileSystem: string;
  readonly ids: readonly number[];
}

/**
 * `Kernel.removeSubvolume`. By id: what a container renames or links in its tree meanwhile leads nowhere else.
 *
 * @returns Undefined when absent.
 */
export function removeSubvolume(path: string): RemovedSubvolumes | undefined {
  const on = { call: "remove subvolume", path };
  try {
    return withSubvolume(on, (fd) => {
      const mounted = findMountIn(path);
      if (mounted !== undefined) {
        const why = `${mounted} is a mount point; unmount it first`;
        throw new SyscallError(on.call, path, "EBUSY", { why });
      }
      return { fileSystem: fileSystemIdOf(fd, on), ids: removeOpen(fd, on) };
    });
  } catch (thrown) {
    const errno = errnoOfCall(thrown);
    if (errno === "ENOENT") return undefined;
    // A file, a link, a directory of another file system.
    if (errno !== "ENOTDIR" && errno !== "ELOOP" && errno !== "ENOTTY") throw thrown;
    if (errno === "ENOTDIR" && isBelowFile(path)) return undefined;
    throw new SyscallError(on.call, path, "EINVAL", { why: "it is no subvolume" });
  }
}

function isBelowFile(path: string): boolean {
  try {
    withFile("look at", dirname(path), fs.O_RDONLY | fs.O_DIRECTORY, () => undefined);
    return false;
  } catch {
    return true;
  }
}

function removeOpen(fd: number, on: CallOn): readonly number[] {
  const top = subvolumeIdOf(fd, on);
  const removed: number[] = [];
  for (let round = 1; ; round++) {
    // Innermost first.
    for (const found of listAllIn(fd, top, on).reverse()) {
      destroyNested(fd, found, on);
      removed.push(Number(found.id));
    }
    try {
      destroySubvolume(fd, top, on);
      return [...removed, Number(top)];
    } catch (thrown) {
      if (errnoOfCall(thrown) !== "ENOTEMPTY" || round === REMOVAL_ROUNDS) throw thrown;
    }
  }
}

/** A subvolume somewhere inside another: `parent` is the one that it lies directly in, `path` where it is. */
interface Nested {
  readonly id: bigint;
  readonly parent: Pick<Nested, "id" | "path">;
  readonly path: () => string;
}

/** Every subvolume in the subvolume `top`, each after the one that it lies in. */
function listAllIn(fd: number, top: bigint, on: CallOn): Nested[] {
  const found: Nested[] = [];
  const open: Pick<Nested, "id" | "path">[] = [{ id: top, path: () => on.path }];
  for (const parent of open) {
    for (const { id, directory, name } of listSubvolumesIn(fd, parent.id, on)) {
      const path = (): string =>
        `${parent.path()}/${pathOfInode(fd, parent.id, directory, on)}${name}`;
      found.push({ id, parent, path });
      open.push({ id, path });
    }
  }
  return found;
}

function destroyNested(fd: number, nested: Nested, on: CallOn): void {
  try {
    destroySubvolume(fd, nested.id, on);
  } catch (thrown) {
    // Gone meanwhile.
    if (errnoOfCall(thrown) === "ENOENT") return;
    if (errnoOfCall(thrown) !== "EROFS") throw thrown;
    // The subvolume around it is read-only.
    const { id, path } = nested.parent;
    withSubvolume({ call: on.call, path: path() }, (around) => {
      // Whoever renames in the tree meanwhile may have led us to another one.
      if (subvolumeIdOf(around, on) !== id) throw thrown;
      makeSubvolumeReadOnly(around, false, on);
    });
    destroySubvolume(fd, nested.id, on);
  }
}

/** `Kernel.findSubvolume`. */
export function findSubvolume(path: string): SubvolumeInfo | undefined {
  const on = { call: "look at", path };
  try {
    return withSubvolume(on, (fd) => ({
      id: Number(subvolumeIdOf(fd, on)),
      readOnly: isSubvolumeReadOnly(fd, on),
    }));
  } catch (thrown) {
    const none = ["ENOENT", "ENOTDIR", "ELOOP", "EINVAL", "ENOTTY"];
    if (none.includes(errnoOfCall(thrown) ?? "")) return undefined;
    throw thrown;
  }
}

/** `Kernel.hasSubvolumeChanged`. */
export function hasSubvolumeChanged(path: string, snapshot: string): boolean {
  const read = (of: string): SubvolumeHistory => {
    const on = { call: "look at history of", path: of };
    return withSubvolume(on, (fd) => readHistory(fd, on));
  };
  const [now, then] = [read(path), read(snapshot)];
  return then.parentUuid !== now.uuid || now.changedIn > then.madeIn;
}

/** `Kernel.setSubvolumeReadOnly`. */
export function setSubvolumeReadOnly(path: string, readOnly: boolean): void {
  const on = { call: readOnly ? "make read-only" : "make writable", path };
  withSubvolume(on, (fd) => makeSubvolumeReadOnly(fd, readOnly, on));
}

/** `Kernel.commitSubvolumes`. */
export function commitSubvolumes(path: string): void {
  const on = { call: "commit subvolumes of", path };
  withBtrfs(on, (fd) => commitTransaction(fd, on));
}

/** `Kernel.enableQuotas`: full qgroups. */
export function enableQuotas(path: string): void {
  const on = { call: "enable quotas of", path };
  withBtrfs(on, (fd) => {
    enableQgroups(fd, on);
    const state = `${sysfsOf(fd, on)}/qgroups/inconsistent`;
    if (attempt(on.call, path, () => readFileSync(state, "utf8")).trim() === "1") {
      recountQgroups(fd, on);
    }
  });
}

/** `Kernel.limitSubvolume`. */
export function limitSubvolume(path: string, sizeBytes: number | null): void {
  const on = { call: "limit", path };
  withSubvolume(on, (fd) => {
    try {
      limitQgroup(fd, subvolumeIdOf(fd, on), sizeBytes, on);
    } catch (thrown) {
      if (errnoOfCall(thrown) !== "ENOTCONN") throw thrown;
      const meaning = { code: "failed_precondition", why: "quotas are off" } as const;
      throw new SyscallError(on.call, path, "ENOTCONN", meaning);
    }
  });
}

/** `Kernel.subvolumeUsage`, from sysfs. */
export function subvolumeUsage(path: string): QuotaUsage | undefined {
  const on = { call: "read usage of", path };
  return withSubvolume(on, (fd) => {
    const group = `${sysfsOf(fd, on)}/qgroups/0_${subvolumeIdOf(fd, on)}`;
    const read = (name: string): bigint =>
      BigInt(attempt(on.call, path, () => readFileSync(`${group}/${name}`, "utf8")).trim());
    try {
      return {
        referencedBytes: Number(read("referenced")),
        exclusiveBytes: Number(read("exclusive")),
        limitBytes: limitBytesOf(read("limit_flags"), read("max_referenced")),
      };
    } catch (thrown) {
      if (errnoOfCall(thrown) === "ENOENT") return undefined;
      throw thrown;
    }
  });
}

/** Removes the qgroups of subvolumes that are gone. @returns Ids whose subvolume btrfs has not cleaned away yet. */
export function removeQgroups(path: string, ids: readonly number[]): readonly number[] {
  const on = { call: "remove qgroups of", path };
  return withBtrfs(on, (fd) =>
    ids.filter((id) => {
      try {
        removeQgroup(fd, BigInt(id), on);
        return false;
      } catch (thrown) {
        // Anything else: it is gone, or quotas are off, and nothing is left to remove.
        return errnoOfCall(thrown) === "EBUSY";
      }
    }),
  );
}

function sysfsOf(fd: number, on: CallOn): string {
  return `/sys/fs/btrfs/${fileSystemIdOf(fd, on)}`;
}

/** Works on the directory that `on.path` lies in, which may be a link; off btrfs, `ENOTTY`. */
function withParent<T>(on: CallOn, work: (fd: number) => T): T {
  const flags = fs.O_RDONLY | fs.O_DIRECTORY;
  const inside = (fd: number): T => {
    ensureBtrfs(fd, on);
    return work(fd);
  };
  return withFile(on.call, dirname(on.path), flags, inside, on.path);
}

/** Works on a directory; off btrfs, `ENOTTY`. */
function withBtrfs<T>(on: CallOn, work: (fd: number) => T): T {
  const flags = fs.O_RDONLY | fs.O_DIRECTORY | fs.O_NOFOLLOW;
  return withFile(on.call, on.path, flags, (fd) => {
    ensureBtrfs(fd, on);
    return work(fd);
  });
}

/** Works on the root of a subvolume; another directory is `EINVAL`. */
function withSubvolume<T>(on: CallOn, work: (fd: number) => T): T {
  return withBtrfs(on, (fd) => {
    if (fstatSync(fd, { bigint: true }).ino !== ROOT_INODE) {
      throw new SyscallError(on.call, on.path, "EINVAL", { why: "it is no subvolume" });
    }
    return work(fd);
  });
}

function ensureBtrfs(fd: number, on: CallOn): void {
  if (statfsSync(`/proc/self/fd/${fd}`).type === BTRFS_SUPER_MAGIC) return;
  throw new SyscallError(on.call, on.path, "ENOTTY", { why: "it does not lie on btrfs" });
}
