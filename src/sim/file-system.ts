import { ensureRoom, holdBytes, recount, releaseBytes } from "./accounting.ts";
import { type Attributes, type Content, EMPTY, SimNode } from "./node.ts";
import { SimTree, type TreeSettings } from "./tree.ts";

const FIRST_SUBVOLUME_ID = 256;
const TOP_LEVEL_ID = 5;

/** What a new file system is made of. */
export interface FileSystemOptions {
  readonly type: string;
  readonly totalBytes: number;
  /** Minor number of its anonymous device, or of its disk when `major` is given. */
  readonly minor: number;
  readonly major?: number;
  /** The image file or device that it lies in. */
  readonly backing?: SimNode;
  /** Gives numbers of anonymous devices, for its subvolumes. */
  readonly newMinor: () => number;
}

/**
 * One file system: its nodes as they are in memory, and what of them is durable.
 *
 * 1. A change is in memory only, until the node (or the entry) is persisted or the whole is committed.
 * 2. Persisting a node makes its way from the root durable too, as the journals of ext4, XFS and btrfs do.
 * 3. Where a subvolume was made or removed on that way, btrfs commits everything instead.
 * 4. `revert` leaves what is durable and nothing else: the worst that a power cut can do.
 */
export class SimFileSystem {
  readonly type: string;
  readonly totalBytes: number;
  /** As mountinfo shows it. */
  readonly device: string;
  readonly backing: SimNode | null;
  readonly top: SimTree;
  readonly subvolumes: Map<number, SimTree> = new Map();
  quotas = false;
  /** True once an I/O error forced it read-only; a new mount after a reboot clears it. */
  faulted = false;
  /** True while writers have to wait. */
  frozen = false;
  usedBytes = 0;
  /** Changes so far, of anything in it. */
  #changes = 0;
  readonly #newMinor: () => number;
  readonly #major: number;
  #durableQuotas = false;
  #nextSubvolume = FIRST_SUBVOLUME_ID;
  readonly #dirty = new Set<SimNode>();
  readonly #dirtyTrees = new Set<SimTree>();
  /** Moved in memory: either name becomes durable only with the other, which is by a commit. */
  readonly #moved = new Set<SimNode>();

  constructor(options: FileSystemOptions) {
    this.type = options.type;
    this.totalBytes = options.totalBytes;
    this.#major = options.major ?? 0;
    this.device = `${this.#major}:${options.minor}`;
    this.backing = options.backing ?? null;
    this.#newMinor = options.newMinor;
    const device = this.type === "btrfs" ? options.newMinor() : this.#major * 256 + options.minor;
    this.top = this.#newTree(TOP_LEVEL_ID, device, { mode: 0o755, uid: 0, gid: 0, content: EMPTY });
  }

  get hasSubvolumes(): boolean {
    return this.type === "btrfs";
  }

  get canClone(): boolean {
    return this.type === "btrfs" || this.type === "xfs";
  }

  /** A new node in `directory`, in memory. */
  create(
    directory: SimNode,
    name: string,
    kind: SimNode["kind"],
    owner: { readonly mode: number; readonly uid: number; readonly gid: number },
    target = "",
  ): SimNode {
    const { mode, uid, gid } = owner;
    const tree = directory.tree;
    const node = new SimNode(
      kind,
      tree,
      tree.nextInode++,
      { mode, uid, gid, content: EMPTY },
      target,
    );
    this.#link(directory, name, node);
    return node;
  }

  /** Takes an entry away, in memory, with the bytes of everything under it. */
  unlink(node: SimNode): void {
    const directory = node.parent;
    if (directory === null || !node.linked) return;
    this.#setEntry(directory, node.name, null);
    node.linked = false;
    this.#forget(node);
  }

  /** Moves an entry as a journal does, durably or later: never both names, never none. */
  move(
    node: SimNode,
    directory: SimNode,
    name: string,
    { durably }: { readonly durably: boolean },
  ): void {
    const from = node.parent;
    const oldName = node.name;
    if (from === null) return;
    this.#setEntry(from, oldName, null);
    this.#link(directory, name, node);
    if (!durably) {
      this.#moved.add(node);
      return;
    }
    this.persistEntry(from, oldName, node);
    this.persistEntry(directory, name, node);
  }

  setAttributes(node: SimNode, change: Partial<Omit<Attributes, "content">>): void {
    node.attributes = { ...node.attributes, ...change };
    this.#change(node);
  }

  /** Gives a file its bytes, in memory. Throws as {@link ensureRoom}, with `path` for what the caller calls it. */
  setContent(node: SimNode, content: Content, path: string): void {
    ensureRoom(node, content, path);
    holdBytes(content, node.tree);
    releaseBytes(node.attributes.content, node.tree);
    node.attributes = { ...node.attributes, content };
    this.#change(node);
  }

  /** Makes what is in a file durable, but not its name. */
  persistContent(node: SimNode): void {
    node.durable = node.attributes;
    if (node.lost === null) this.#dirty.delete(node);
  }

  /** Makes a node durable (fsync), with the way to it. */
  persist(node: SimNode): void {
    if (node.lost !== null) {
      for (const [name, before] of node.lost) {
        if (this.#needsCommit(before) || this.#needsCommit(node.entries.get(name))) {
          this.commit();
          return;
        }
      }
    }
    node.durable = node.attributes;
    node.lost = null;
    this.#dirty.delete(node);
    if (node.parent !== null && node.linked) this.persistEntry(node.parent, node.name, node);
  }

  /** Makes one entry of a directory durable, with the way to it. `node` is what it is about, now or before. */
  persistEntry(directory: SimNode, name: string, node: SimNode): void {
    let child = node;
    let entry = name;
    for (let at: SimNode | null = directory; at !== null; at = at.parent) {
      const before = at.lost?.get(entry);
      if (before !== undefined) {
        if (this.#needsCommit(child) || this.#needsCommit(before)) {
          this.commit();
          return;
        }
        at.lost?.delete(entry);
      }
      if (!at.linked) return;
      child = at;
      entry = at.name;
    }
  }

  /** Makes everything durable: sync, or a btrfs transaction's commit. */
  commit(): void {
    for (const node of this.#dirty) {
      node.durable = node.attributes;
      node.lost = null;
    }
    this.#dirty.clear();
    this.#moved.clear();
    for (const tree of this.#dirtyTrees) tree.durable = tree.settings;
    this.#dirtyTrees.clear();
    this.#durableQuotas = this.quotas;
  }

  /** What the disk holds after a power cut. */
  revert(): void {
    if (
      this.#dirty.size === 0 &&
      this.#dirtyTrees.size === 0 &&
      this.#durableQuotas === this.quotas
    )
      return;
    for (const directory of this.#dirty) {
      for (const [name, before] of directory.lost ?? []) {
        const now = directory.entries.get(name);
        if (now === undefined || now === before) continue;
        directory.entries.delete(name);
        if (now.parent === directory && now.name === name) now.linked = false;
      }
    }
    for (const node of this.#dirty) {
      node.attributes = node.durable;
      for (const [name, before] of node.lost ?? []) {
        if (before !== null) this.#attach(node, name, before);
      }
      node.lost = null;
    }
    this.#dirty.clear();
    this.#moved.clear();
    for (const tree of this.#dirtyTrees) tree.settings = tree.durable;
    this.#dirtyTrees.clear();
    this.quotas = this.#durableQuotas;
    recount(this);
  }

  /** A new empty subvolume, in memory. */
  createSubvolume(directory: SimNode, name: string): SimTree {
    const owner = { mode: 0o755, uid: 0, gid: 0, content: EMPTY };
    const tree = this.#newTree(this.#nextSubvolume++, this.#newMinor(), owner);
    this.#link(directory, name, tree.root);
    return tree;
  }

  /**
   * A new subvolume with the bytes and the limit of `source`, in memory; subvolumes inside are empty directories
   * in it.
   */
  snapshot(source: SimTree, directory: SimNode, name: string, readOnly: boolean): SimTree {
    const tree = this.#newTree(this.#nextSubvolume++, this.#newMinor(), source.root.attributes);
    tree.settings = { readOnly, limitBytes: source.settings.limitBytes };
    tree.durable = tree.settings;
    tree.nextInode = source.nextInode;
    tree.madeFrom = source;
    tree.madeIn = this.#changes;
    this.#copyEntries(source.root, tree.root);
    // Linked last: a snapshot of the tree that it is put in does not contain itself.
    this.#link(directory, name, tree.root);
    return tree;
  }

  setTree(tree: SimTree, change: Partial<TreeSettings>): void {
    tree.settings = { ...tree.settings, ...change };
    this.#dirtyTrees.add(tree);
  }

  /** True of what cannot become durable entry by entry. */
  #needsCommit(node: SimNode | null | undefined): boolean {
    return node != null && (node.isSubvolume || this.#moved.has(node));
  }

  #newTree(id: number, device: number, owner: Attributes): SimTree {
    const tree = new SimTree(this, id, device, owner);
    this.subvolumes.set(id, tree);
    return tree;
  }

  #link(directory: SimNode, name: string, node: SimNode): void {
    this.#setEntry(directory, name, node);
    this.#attach(directory, name, node);
    if (node.kind === "file") this.#dirty.add(node);
  }

  #attach(directory: SimNode, name: string, node: SimNode): void {
    directory.entries.set(name, node);
    node.parent = directory;
    node.name = name;
    node.linked = true;
  }

  #change(node: SimNode): void {
    this.#dirty.add(node);
    node.tree.changedIn = ++this.#changes;
  }

  #setEntry(directory: SimNode, name: string, node: SimNode | null): void {
    const before = directory.entries.get(name) ?? null;
    directory.lost ??= new Map();
    if (!directory.lost.has(name)) directory.lost.set(name, before);
    else if (directory.lost.get(name) === node) directory.lost.delete(name);
    if (node === null) directory.entries.delete(name);
    else directory.entries.set(name, node);
    this.#change(directory);
  }

  #copyEntries(from: SimNode, to: SimNode): void {
    const tree = to.tree;
    for (const [name, node] of from.entries) {
      const copy = new SimNode(
        node.kind,
        tree,
        node.isSubvolume ? tree.nextInode++ : node.inode,
        node.attributes,
        node.target,
      );
      // Whether any of it is durable is told by the snapshot's own entry: it is committed as a whole.
      this.#attach(to, name, copy);
      holdBytes(copy.attributes.content, tree);
      if (!node.isSubvolume) this.#copyEntries(node, copy);
    }
  }

  #forget(node: SimNode): void {
    releaseBytes(node.attributes.content, node.tree);
    for (const child of node.entries.values()) this.#forget(child);
    if (node.isSubvolume) this.subvolumes.delete(node.tree.id);
  }
}
