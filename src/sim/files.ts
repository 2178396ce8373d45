import { Failure } from "../core/failure.ts";
import type { FileStat, FileStep, Files, NameOptions, TreeBytes } from "../core/ports/files.ts";
import { failureOf } from "./errno.ts";
import type { Incarnation } from "./incarnation.ts";
import type { SimMachine } from "./machine.ts";
import { type Entry, type Place, topOf } from "./mount-namespace.ts";
import { allocatedBytesOf, contentOf, type SimNode, utf8Bytes } from "./node.ts";
import { ensureWritable } from "./process.ts";
import { copyTree, measureTree } from "./whole-tree.ts";

const TEXT_LIMIT_BYTES: number = 16 * 1024 ** 2;
const ROOT = { uid: 0, gid: 0 };

/** The port Files on a simulated machine. */
export class SimFiles implements Files {
  readonly #machine: SimMachine;
  readonly #incarnation: Incarnation;
  /** Directories as they were when a step watched them. */
  readonly #watched = new Map<
    string,
    { readonly node: SimNode; readonly attributes: SimNode["attributes"] }
  >();

  constructor(machine: SimMachine, incarnation: Incarnation) {
    this.#machine = machine;
    this.#incarnation = incarnation;
  }

  stat(path: string): Promise<FileStat | undefined> {
    return this.#incarnation.call(() => {
      const node = this.#machine.namespace.find(path)?.node;
      return node && statOf(node);
    });
  }

  readText(path: string): Promise<string | undefined> {
    return this.#incarnation.call(() => this.#readText(path));
  }

  readTexts(paths: readonly string[]): Promise<readonly (string | undefined)[]> {
    return this.#incarnation.call(() => paths.map((path) => this.#readText(path)));
  }

  readNotes(paths: readonly string[]): Promise<readonly (string | undefined)[]> {
    return this.#incarnation.call(() =>
      paths.map((path) => {
        const node = this.#machine.namespace.find(path)?.node;
        return node?.kind === "symlink" ? node.target : this.#readText(path);
      }),
    );
  }

  #readText(path: string): string | undefined {
    const node = this.#machine.namespace.find(path)?.node;
    if (node === undefined) return undefined;
    if (node.kind === "symlink") throw failureOf("read", path, "ELOOP");
    if (node.kind !== "file") throw failureOf("read", path, "EISDIR");
    const { text, sizeBytes } = node.attributes.content;
    if (sizeBytes > TEXT_LIMIT_BYTES) {
      throw new Failure(
        "resource_exhausted",
        `Cannot read ${path}: it has ${sizeBytes} bytes, at most ${TEXT_LIMIT_BYTES} are read`,
      );
    }
    return text ?? "\0".repeat(sizeBytes);
  }

  async perform(steps: readonly FileStep[]): Promise<void> {
    for (const step of steps) {
      switch (step.do) {
        case "makeDirectory":
          await this.makeDirectory(step.path, step);
          break;
        case "makeDirectoryLike":
          await this.makeDirectoryLike(step.path, step.model);
          break;
        case "setOwner":
          await this.setOwner(step.path, step);
          await this.setMode(step.path, step.mode);
          break;
        case "writeNote":
          await this.#writeNote(step.path, step.text, step.fresh === true);
          break;
        case "rename":
          await this.rename(step.from, step.to, { syncNames: false });
          break;
        case "watch":
          await this.#watch(step.path);
          break;
      }
    }
  }

  #watch(path: string): Promise<void> {
    return this.#incarnation.call(() => {
      const node = this.#machine.namespace.find(path)?.node;
      if (node?.kind !== "directory") return;
      this.#watched.set(path, { node, attributes: { ...node.attributes } });
    });
  }

  isUnchanged(path: string): boolean {
    const watched = this.#watched.get(path);
    const node = this.#machine.namespace.find(path)?.node;
    if (watched === undefined || node !== watched.node || node.kind !== "directory") return false;
    const { mode, uid, gid } = watched.attributes;
    const same = node.attributes;
    return node.entries.size === 0 && same.mode === mode && same.uid === uid && same.gid === gid;
  }

  syncFileSystem(path: string): Promise<void> {
    return this.#incarnation.call(() => {
      this.#directory("sync", path).node.tree.fileSystem.commit();
    });
  }

  /** Whole with its name: there is nothing to persist. */
  #writeNote(path: string, text: string, fresh: boolean): Promise<void> {
    return this.#incarnation.call(() => {
      const { directory, name, place } = this.#entry("write", path);
      if (place?.node.kind === "directory") throw failureOf("write", path, "EISDIR");
      if (fresh && place !== undefined) throw failureOf("write", path, "EEXIST");
      ensureWritable(directory, "write", path);
      const { fileSystem } = directory.node.tree;
      const owner = { mode: 0o777, ...ROOT };
      const note = fileSystem.create(directory.node, `.${name}.new`, "symlink", owner, text);
      if (place !== undefined) fileSystem.unlink(place.node);
      fileSystem.move(note, directory.node, name, { durably: false });
    });
  }

  writeText(path: string, text: string): Promise<void> {
    return this.#incarnation.call(() => {
      const { directory, name, place } = this.#entry("write", path);
      if (place?.node.kind === "directory") throw failureOf("write", path, "EISDIR");
      ensureWritable(directory, "write", path);
      const { fileSystem } = directory.node.tree;
      const fresh = fileSystem.create(directory.node, `.${name}.new`, "file", {
        mode: 0o600,
        ...ROOT,
      });
      try {
        const sizeBytes = utf8Bytes(text);
        fileSystem.setContent(fresh, contentOf(text, sizeBytes, sizeBytes), path);
      } catch (error) {
        fileSystem.unlink(fresh);
        throw error;
      }
      if (place !== undefined) fileSystem.unlink(place.node);
      fileSystem.persistContent(fresh);
      fileSystem.move(fresh, directory.node, name, { durably: true });
    });
  }

  list(path: string): Promise<readonly string[]> {
    return this.#incarnation.call(() =>
      [...this.#directory("list", path).node.entries.keys()].sort(),
    );
  }

  makeDirectory(
    path: string,
    options: { readonly mode: number; readonly uid?: number; readonly gid?: number },
  ): Promise<void> {
    return this.#incarnation.call(() => {
      const { directory, name } = this.#absentEntry("mkdir", path);
      const { mode, uid = 0, gid = 0 } = options;
      const owner = { mode, uid, gid };
      directory.node.tree.fileSystem.create(directory.node, name, "directory", owner);
    });
  }

  ensureDirectory(path: string, options: { readonly mode: number }): Promise<void> {
    return this.#incarnation.call(() => {
      const names = path.split("/").filter((part) => part !== "");
      let at = "";
      for (const [index, name] of names.entries()) {
        at += `/${name}`;
        const last = index === names.length - 1;
        const { directory, place } = this.#entry("mkdir", at);
        const found = last ? place : this.#machine.namespace.follow(at);
        const { fileSystem } = directory.node.tree;
        if (found === undefined) {
          if (place !== undefined) throw failureOf("mkdir", at, "EEXIST");
          ensureWritable(directory, "mkdir", at);
          const mode = last ? options.mode : 0o755;
          const made = fileSystem.create(directory.node, name, "directory", { mode, ...ROOT });
          fileSystem.persist(made);
        } else if (found.node.kind !== "directory") throw failureOf("mkdir", at, "EEXIST");
        else if (last) found.node.tree.fileSystem.persist(found.node);
      }
    });
  }

  rename(from: string, to: string, { syncNames = true }: NameOptions = {}): Promise<void> {
    return this.#incarnation.call(() => {
      const source = this.#entry("rename", from);
      const { place } = source;
      if (place === undefined) throw failureOf("rename", from, "ENOENT");
      const target = this.#entry("rename", to);
      if (target.place !== undefined) throw failureOf("rename", to, "EEXIST");
      const { node } = place;
      const directory = target.directory.node;
      ensureWritable(source.directory, "rename", from);
      ensureWritable(target.directory, "rename", to);
      if (this.#isMountPoint(source)) throw failureOf("rename", from, "EBUSY");
      const { tree } = source.directory.node;
      const moves = node.isSubvolume
        ? tree.fileSystem === directory.tree.fileSystem
        : tree === directory.tree && source.directory.mount === target.directory.mount;
      if (!moves) throw failureOf("rename", to, "EXDEV");
      for (let at: SimNode | null = directory; at !== null; at = at.parent) {
        if (at === node) throw failureOf("rename", to, "EINVAL");
      }
      tree.fileSystem.move(node, directory, target.name, { durably: syncNames });
    });
  }

  syncDirectory(path: string): Promise<void> {
    return this.#incarnation.call(() => {
      const { node } = this.#directory("fsync", path);
      node.tree.fileSystem.persist(node);
    });
  }

  setOwner(path: string, owner: { readonly uid: number; readonly gid: number }): Promise<void> {
    return this.#incarnation.call(() => {
      const node = this.#owned("chown", path);
      node.tree.fileSystem.setAttributes(node, { uid: owner.uid, gid: owner.gid });
    });
  }

  setMode(path: string, mode: number): Promise<void> {
    return this.#incarnation.call(() => {
      const node = this.#owned("chmod", path);
      node.tree.fileSystem.setAttributes(node, { mode });
    });
  }

  createSparse(path: string, sizeBytes: number): Promise<void> {
    return this.#incarnation.call(() => {
      const { directory, name } = this.#absentEntry("create", path);
      const { fileSystem } = directory.node.tree;
      const file = fileSystem.create(directory.node, name, "file", { mode: 0o600, ...ROOT });
      fileSystem.setContent(file, contentOf(null, sizeBytes, 0), path);
      fileSystem.persist(file);
    });
  }

  remove(path: string): Promise<void> {
    return this.#incarnation.call(() => {
      const entry = this.#machine.namespace.findEntry(path);
      if (entry?.place === undefined) return;
      const { node } = entry.place;
      ensureWritable(entry.directory, "remove", path);
      if (this.#isMountPoint(entry)) throw failureOf("remove", path, "EBUSY");
      if (node.entries.size > 0) throw failureOf("remove", path, "ENOTEMPTY");
      node.tree.fileSystem.unlink(node);
      if (node.parent !== null) node.tree.fileSystem.persistEntry(node.parent, node.name, node);
    });
  }

  async removeTree(path: string, signal: AbortSignal): Promise<void> {
    const top = await this.#removeTop(path, signal);
    if (top === undefined) return;
    await this.#incarnation.call(() => {
      const { parent, name, tree } = top.node;
      if (parent !== null) tree.fileSystem.persistEntry(parent, name, top.node);
    });
  }

  async removeTrees(paths: readonly string[], signal: AbortSignal): Promise<void> {
    for (const path of paths) await this.#removeTop(path, signal);
  }

  /** Not durable; undefined: it was absent. */
  async #removeTop(path: string, signal: AbortSignal): Promise<Place | undefined> {
    const top = await this.#incarnation.call(() => {
      signal.throwIfAborted();
      const entry = this.#machine.namespace.findEntry(path);
      if (entry?.place === undefined) return undefined;
      ensureWritable(entry.directory, "remove", path);
      if (this.#isMountPoint(entry)) throw failureOf("remove", path, "EBUSY");
      return entry.place;
    });
    if (top !== undefined) await this.#removeTree(top, path, signal);
    return top;
  }

  copyTree(source: string, target: string, signal: AbortSignal): Promise<void> {
    const { namespace } = this.#machine;
    return copyTree({ namespace, incarnation: this.#incarnation }, source, target, signal);
  }

  measureTree(path: string, signal: AbortSignal): Promise<TreeBytes> {
    return this.#incarnation.call(() => {
      signal.throwIfAborted();
      return measureTree(this.#directory("count", path));
    });
  }

  makeDirectoryLike(path: string, model: string): Promise<void> {
    return this.#incarnation.call(() => {
      const { mode, uid, gid } = this.#directory("make a directory like", model).node.attributes;
      const { directory, name } = this.#absentEntry("mkdir", path);
      const owner = { mode, uid, gid };
      directory.node.tree.fileSystem.create(directory.node, name, "directory", owner);
    });
  }

  /** Times and attributes there are none here. */
  isUntouchedLike(path: string, model: string): Promise<boolean> {
    return this.#incarnation.call(() => {
      const { attributes, entries } = this.#directory("look at", path).node;
      const { mode, uid, gid } = this.#directory("look at", model).node.attributes;
      if (entries.size > 0) return false;
      return attributes.mode === mode && attributes.uid === uid && attributes.gid === gid;
    });
  }

  /** Directory by directory, each at one instant: what a crash or an abort finds is a part of the tree. */
  async #removeTree(place: Place, path: string, signal: AbortSignal): Promise<void> {
    const { fileSystem } = place.node.tree;
    const directories = await this.#incarnation.call(() => {
      signal.throwIfAborted();
      const inner: [Place, string][] = [];
      for (const [name, node] of [...place.node.entries]) {
        const child = topOf({ mount: place.mount, node });
        const at = `${path}/${name}`;
        if (child.node !== node || (node.isSubvolume && node.entries.size > 0)) {
          throw failureOf("remove", at, "EBUSY");
        }
        ensureWritable(place, "remove", at);
        if (node.entries.size > 0) inner.push([child, at]);
        else fileSystem.unlink(node);
      }
      return inner;
    });
    for (const [child, at] of directories) await this.#removeTree(child, at, signal);
    await this.#incarnation.call(() => {
      if (place.node.entries.size > 0) throw failureOf("remove", path, "ENOTEMPTY");
      fileSystem.unlink(place.node);
    });
  }

  #entry(call: string, path: string): Entry {
    const entry = this.#machine.namespace.findEntry(path);
    if (entry === undefined) throw failureOf(call, path, "ENOENT");
    if (entry.directory.node.kind !== "directory") throw failureOf(call, path, "ENOTDIR");
    return entry;
  }

  #absentEntry(call: string, path: string): Entry {
    const entry = this.#entry(call, path);
    if (entry.place !== undefined) throw failureOf(call, path, "EEXIST");
    ensureWritable(entry.directory, call, path);
    return entry;
  }

  #directory(call: string, path: string): Place {
    const place = this.#machine.namespace.find(path);
    if (place === undefined) throw failureOf(call, path, "ENOENT");
    if (place.node.kind === "symlink") throw failureOf(call, path, "ELOOP");
    if (place.node.kind !== "directory") throw failureOf(call, path, "ENOTDIR");
    return place;
  }

  #owned(call: string, path: string): SimNode {
    const place = this.#machine.namespace.find(path);
    if (place === undefined) throw failureOf(call, path, "ENOENT");
    if (place.node.kind === "symlink") throw failureOf(call, path, "ELOOP");
    ensureWritable(place, call, path);
    return place.node;
  }

  #isMountPoint(entry: Entry): boolean {
    const node = entry.directory.node.entries.get(entry.name);
    return entry.name === "" || (node !== undefined && this.#machine.namespace.isPoint(node));
  }
}

function statOf(node: SimNode): FileStat {
  const { mode, uid, gid, content } = node.attributes;
  return {
    kind: node.kind,
    sizeBytes: node.kind === "symlink" ? utf8Bytes(node.target) : content.sizeBytes,
    allocatedBytes: allocatedBytesOf(node),
    mode,
    uid,
    gid,
    device: node.tree.device,
    inode: node.inode,
  };
}
