import { Failure } from "../core/failure.ts";
import type {
  FileSystemStat,
  FrozenImage,
  Kernel,
  MountEntry,
  MountNamespace,
  MountPlace,
  MountRequest,
  QuotaUsage,
  SubvolumeInfo,
} from "../core/ports/kernel.ts";
import { bytesOfItsOwn } from "./accounting.ts";
import { failureOf } from "./errno.ts";
import type { SimFileSystem } from "./file-system.ts";
import type { Incarnation } from "./incarnation.ts";
import type { SimMachine } from "./machine.ts";
import type { Entry } from "./mount-namespace.ts";
import { mountAt } from "./mounting.ts";
import type { SimNode } from "./node.ts";
import { ensureWritable } from "./process.ts";
import type { SimTree } from "./tree.ts";

/** Bytes for each inode of a file system that counts them, as mkfs.ext4 chooses. */
const BYTES_PER_INODE = 16_384;

/** The port Kernel on a simulated machine. */
export class SimKernel implements Kernel {
  readonly #machine: SimMachine;
  readonly #incarnation: Incarnation;

  constructor(machine: SimMachine, incarnation: Incarnation) {
    this.#machine = machine;
    this.#incarnation = incarnation;
  }

  mount(request: MountRequest): Promise<void> {
    return this.#incarnation.call(() => mountAt(this.#machine, request));
  }

  unmount(target: string): Promise<void> {
    return this.#incarnation.call(() => {
      const { mount, node } = this.#machine.follow("unmount", target);
      if (node !== mount.root || mount.parent === null) {
        throw new Failure("not_found", `Cannot unmount ${target}: not a mount point (EINVAL)`);
      }
      if (mount.holders > 0 || mount.children.size > 0) {
        throw failureOf("unmount", target, "EBUSY");
      }
      this.#machine.namespace.remove(mount);
      this.#machine.releaseIfUnused(mount.fileSystem);
    });
  }

  mountTable(): Promise<readonly MountEntry[]> {
    return this.#incarnation.call(() => this.#machine.namespace.entries());
  }

  mountOf(path: string): Promise<MountEntry | undefined> {
    return this.#incarnation.call(() => {
      const { namespace } = this.#machine;
      const id = namespace.find(path)?.mount.id;
      return namespace.entries().find((entry) => entry.id === id);
    });
  }

  mountNamespaces(place?: MountPlace): Promise<readonly MountNamespace[]> {
    return this.#incarnation.call(() => {
      const own = this.#machine.namespace;
      const seen = new Set<unknown>();
      const namespaces: MountNamespace[] = [];
      for (const { pid, command, containerId, namespace } of this.#machine.processes) {
        if (seen.has(namespace)) continue;
        seen.add(namespace);
        const all = namespace.entries();
        const entries = place === undefined ? all : all.filter((one) => isWithin(one, place));
        namespaces.push({ pid, command, containerId, own: namespace === own, entries });
      }
      return namespaces;
    });
  }

  statFileSystem(path: string): Promise<FileSystemStat> {
    return this.#incarnation.call(() => {
      const { fileSystem } = this.#machine.follow("statfs", path).node.tree;
      const { type, totalBytes, usedBytes } = fileSystem;
      const totalInodes = fileSystem.hasSubvolumes ? 0 : Math.floor(totalBytes / BYTES_PER_INODE);
      return {
        type,
        totalBytes,
        availableBytes: totalBytes - usedBytes,
        totalInodes,
        availableInodes: Math.max(0, totalInodes - fileSystem.top.nextInode),
      };
    });
  }

  /** At one instant, so that nobody is kept waiting and no death comes between. */
  cloneFrozen(images: readonly FrozenImage[]): Promise<number> {
    return this.#incarnation.call(() => {
      for (const { frozen, source, target } of images) {
        const { node } = this.#absentEntry("clone", target).directory;
        this.#node("clone", source);
        if (frozen === null) continue;
        const { fileSystem } = this.#machine.follow("freeze", frozen).node.tree;
        if (node.tree.fileSystem === fileSystem) throw failureOf("clone", target, "EINVAL");
        if (fileSystem.frozen) throw failureOf("freeze", frozen, "EBUSY");
        fileSystem.commit();
      }
      for (const { source, target } of images) this.#clone(source, target);
      return 0;
    });
  }

  exclusiveBytes(path: string): Promise<number> {
    return this.#incarnation.call(() => {
      const node = this.#node("count", path);
      if (node.kind !== "file") throw failureOf("count", path, "EINVAL");
      return bytesOfItsOwn(node);
    });
  }

  thaw(path: string): Promise<void> {
    return this.#incarnation.call(() => {
      this.#machine.follow("thaw", path).node.tree.fileSystem.frozen = false;
    });
  }

  cloneFile(source: string, target: string): Promise<void> {
    return this.#incarnation.call(() => this.#clone(source, target));
  }

  attachLoop(file: string): Promise<string> {
    return this.#incarnation.call(() => {
      const { node } = this.#machine.follow("attach", file);
      if (node.kind !== "file") throw failureOf("attach", file, "EINVAL");
      return this.#machine.loops.attach(node);
    });
  }

  attachDevice(file: string): Promise<string> {
    return this.#incarnation.call(() => {
      const { node } = this.#machine.follow("attach", file);
      if (node.kind !== "file") throw failureOf("attach", file, "EINVAL");
      return this.#machine.loops.find(node)[0] ?? this.#machine.loops.attach(node);
    });
  }

  findLoops(file: string): Promise<readonly string[]> {
    return this.#incarnation.call(() => {
      return this.#machine.loops.find(this.#machine.follow("find loop devices of", file).node);
    });
  }

  detachLoop(device: string): Promise<void> {
    return this.#incarnation.call(() => {
      const node = this.#machine.namespace.follow(device)?.node;
      const file = node && this.#machine.loops.backing(node);
      // A device in use detaches itself at its last unmount, as every one here does.
      if (node === undefined || (file?.inside && this.#machine.uses(file.inside))) return;
      this.#machine.loops.detach(node.name);
    });
  }

  createSubvolume(path: string): Promise<void> {
    return this.#incarnation.call(() => {
      const { directory, name } = this.#newSubvolume("create subvolume", path);
      directory.node.tree.fileSystem.createSubvolume(directory.node, name);
    });
  }

  snapshotSubvolume(
    source: string,
    target: string,
    options: { readonly readOnly: boolean },
  ): Promise<void> {
    return this.#incarnation.call(() => {
      const from = this.#subvolume("snapshot", source);
      const { directory, name } = this.#newSubvolume("snapshot to", target);
      const { fileSystem } = directory.node.tree;
      if (fileSystem !== from.fileSystem) throw failureOf("snapshot to", target, "EXDEV");
      fileSystem.snapshot(from, directory.node, name, options.readOnly);
    });
  }

  removeSubvolume(path: string): Promise<void> {
    return this.#incarnation.call(() => {
      const { namespace } = this.#machine;
      const entry = namespace.findEntry(path);
      if (entry?.place === undefined) return;
      const node = entry.directory.node.entries.get(entry.name);
      if (node === undefined || namespace.isPoint(node)) {
        throw failureOf("remove subvolume", path, "EBUSY");
      }
      if (!node.isSubvolume) throw failureOf("remove subvolume", path, "EINVAL");
      if (namespace.covers(node)) throw failureOf("remove subvolume", path, "EBUSY");
      ensureWritable(entry.directory, "remove subvolume", path);
      node.tree.fileSystem.unlink(node);
    });
  }

  findSubvolume(path: string): Promise<SubvolumeInfo | undefined> {
    return this.#incarnation.call(() => {
      const node = this.#machine.namespace.find(path)?.node;
      if (node === undefined || !isRoot(node)) return undefined;
      return { id: node.tree.id, readOnly: node.tree.settings.readOnly };
    });
  }

  hasSubvolumeChanged(path: string, snapshot: string): Promise<boolean> {
    return this.#incarnation.call(() => {
      const now = this.#subvolume("look at history of", path);
      const then = this.#subvolume("look at history of", snapshot);
      return then.madeFrom !== now || now.changedIn > then.madeIn;
    });
  }

  setSubvolumeReadOnly(path: string, readOnly: boolean): Promise<void> {
    return this.#incarnation.call(() => {
      const tree = this.#subvolume("set read-only", path);
      tree.fileSystem.setTree(tree, { readOnly });
    });
  }

  commitSubvolumes(path: string): Promise<void> {
    return this.#incarnation.call(() => this.#btrfs("commit", path).commit());
  }

  enableQuotas(path: string): Promise<void> {
    return this.#incarnation.call(() => {
      this.#btrfs("enable quotas on", path).quotas = true;
    });
  }

  limitSubvolume(path: string, sizeBytes: number | null): Promise<void> {
    return this.#incarnation.call(() => {
      const tree = this.#subvolume("limit", path);
      if (!tree.fileSystem.quotas) throw failureOf("limit", path, "ENOTCONN");
      tree.fileSystem.setTree(tree, { limitBytes: sizeBytes });
    });
  }

  subvolumeUsage(path: string): Promise<QuotaUsage | undefined> {
    return this.#incarnation.call(() => {
      const tree = this.#subvolume("read usage of", path);
      if (!tree.fileSystem.quotas) return undefined;
      const { referencedBytes, exclusiveBytes } = tree;
      return { referencedBytes, exclusiveBytes, limitBytes: tree.settings.limitBytes };
    });
  }

  #clone(source: string, target: string): void {
    const from = this.#machine.follow("clone", source).node;
    if (from.kind !== "file") throw failureOf("clone", source, "EINVAL");
    if (from.inside !== null) {
      throw new Error("Invariant broken: clones of image files are not simulated");
    }
    const { directory, name } = this.#absentEntry("clone", target);
    const { fileSystem } = directory.node.tree;
    if (!fileSystem.canClone || from.tree.fileSystem !== fileSystem) {
      throw failureOf("clone", target, "EOPNOTSUPP");
    }
    const owner = { mode: 0o600, uid: 0, gid: 0 };
    const made = fileSystem.create(directory.node, name, "file", owner);
    try {
      fileSystem.setContent(made, from.attributes.content, target);
    } catch (error) {
      fileSystem.unlink(made);
      throw error;
    }
  }

  /** The node at a path that no link in its last component led to. */
  #node(call: string, path: string): SimNode {
    const node = this.#machine.namespace.find(path)?.node;
    if (node === undefined) throw failureOf(call, path, "ENOENT");
    if (node.kind === "symlink") throw failureOf(call, path, "ELOOP");
    return node;
  }

  #btrfs(call: string, path: string): SimFileSystem {
    const { fileSystem } = this.#node(call, path).tree;
    if (!fileSystem.hasSubvolumes) throw failureOf(call, path, "ENOTTY");
    return fileSystem;
  }

  #subvolume(call: string, path: string): SimTree {
    const node = this.#node(call, path);
    if (!node.tree.fileSystem.hasSubvolumes) throw failureOf(call, path, "ENOTTY");
    if (!isRoot(node)) throw failureOf(call, path, "EINVAL");
    return node.tree;
  }

  #absentEntry(call: string, path: string): Entry {
    const entry = this.#machine.namespace.findEntry(path);
    if (entry === undefined) throw failureOf(call, path, "ENOENT");
    if (entry.place !== undefined) throw failureOf(call, path, "EEXIST");
    if (entry.directory.node.kind !== "directory") throw failureOf(call, path, "ENOTDIR");
    ensureWritable(entry.directory, call, path);
    return entry;
  }

  #newSubvolume(call: string, path: string): Entry {
    const entry = this.#absentEntry(call, path);
    if (!entry.directory.node.tree.fileSystem.hasSubvolumes) throw failureOf(call, path, "ENOTTY");
    return entry;
  }
}

function isRoot(node: SimNode): boolean {
  return node.tree.fileSystem.hasSubvolumes && node.tree.root === node;
}

function isWithin({ device, root }: MountPlace, place: MountPlace): boolean {
  return device === place.device && (place.root === "/" || `${root}/`.startsWith(`${place.root}/`));
}
