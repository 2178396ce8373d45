import { Failure } from "../core/failure.ts";
import type { MountEntry } from "../core/ports/kernel.ts";
import type { SimFileSystem } from "./file-system.ts";
import type { SimNode } from "./node.ts";

/** One mount. Its paths are worked out when asked for: what lies under it may be renamed or removed. */
export interface SimMount {
  readonly id: number;
  /** Null: the root of its namespace. */
  readonly parent: SimMount | null;
  /** The directory (or file) of the parent mount that it covers. */
  readonly point: SimNode | null;
  readonly fileSystem: SimFileSystem;
  readonly root: SimNode;
  readonly source: string;
  readonly readOnly: boolean;
  readonly options: readonly string[];
  readonly superOptions: readonly string[];
  /** The mounts on nodes of this one. */
  readonly children: Map<SimNode, SimMount>;
  /** Open files and working directories that keep it busy. */
  holders: number;
}

/** A node and the mount by which it was reached. */
export interface Place {
  readonly mount: SimMount;
  readonly node: SimNode;
}

/** What a path names: a directory and an entry in it, and what is there now, if anything. */
export interface Entry {
  readonly directory: Place;
  readonly name: string;
  readonly place: Place | undefined;
}

const SYMLINK_LIMIT = 40;

/** The mounts that a group of processes sees, and how its paths resolve. */
export class SimMountNamespace {
  readonly #mounts: SimMount[] = [];
  readonly #newId: () => number;

  /** @param newId Gives the numbers of new mounts. */
  constructor(newId: () => number) {
    this.#newId = newId;
  }

  get mounts(): readonly SimMount[] {
    return this.#mounts;
  }

  /** Mounts on `at`; undefined makes the root of the namespace. */
  add(
    at: Place | undefined,
    mount: Pick<SimMount, "fileSystem" | "root" | "source"> &
      Partial<Pick<SimMount, "options" | "superOptions" | "readOnly">>,
  ): SimMount {
    const added: SimMount = {
      id: this.#newId(),
      parent: at?.mount ?? null,
      point: at?.node ?? null,
      fileSystem: mount.fileSystem,
      root: mount.root,
      source: mount.source,
      readOnly: mount.readOnly ?? false,
      options: mount.options ?? ["rw"],
      superOptions: mount.superOptions ?? ["rw"],
      children: new Map(),
      holders: 0,
    };
    this.#mounts.push(added);
    at?.mount.children.set(at.node, added);
    return added;
  }

  remove(mount: SimMount): void {
    this.#mounts.splice(this.#mounts.indexOf(mount), 1);
    if (mount.point !== null) mount.parent?.children.delete(mount.point);
  }

  /** True when something is mounted on `node`, or on anything under it. */
  covers(node: SimNode): boolean {
    return this.#mounts.some(({ point }) => {
      for (let at = point; at !== null; at = at.parent) if (at === node) return true;
      return false;
    });
  }

  /** True when something is mounted on `node` itself. */
  isPoint(node: SimNode): boolean {
    return this.#mounts.some(({ point }) => point === node);
  }

  /** What a path names; undefined when the directory that it should be in is absent. */
  findEntry(path: string): Entry | undefined {
    const names = path.split("/").filter((name) => name !== "");
    const name = names.pop();
    if (name === undefined || name === "." || name === "..") {
      const place = this.#walk(this.#root(), path.split("/"), { links: 0 });
      return place && { directory: place, name: "", place };
    }
    const directory = this.#walk(this.#root(), names, { links: 0 });
    if (directory === undefined) return undefined;
    const node = directory.node.entries.get(name);
    return { directory, name, place: node && topOf({ mount: directory.mount, node }) };
  }

  /** The node at a path, without following a link in its last component. */
  find(path: string): Place | undefined {
    return this.findEntry(path)?.place;
  }

  /** The node at a path, with every link followed, as most system calls do. */
  follow(path: string): Place | undefined {
    return this.#walk(this.#root(), path.split("/"), { links: 0 });
  }

  /** The namespace as `/proc/PID/mountinfo` shows it. */
  entries(): readonly MountEntry[] {
    return this.#mounts.map((mount) => {
      const { path, deleted } = mount.root.pathFrom(mount.fileSystem.top.root);
      const subvolume = mount.fileSystem.hasSubvolumes
        ? [
            `subvolid=${mount.root.tree.id}`,
            `subvol=${mount.root.tree.root.pathFrom(mount.fileSystem.top.root).path}`,
          ]
        : [];
      const state = mount.fileSystem.faulted ? "ro" : undefined;
      return {
        id: mount.id,
        parentId: mount.parent?.id ?? 0,
        device: mount.fileSystem.device,
        root: path,
        deleted,
        mountPoint: pathOf(mount),
        options: mount.options,
        type: mount.fileSystem.type,
        source: mount.source,
        superOptions: [
          state ?? mount.superOptions[0] ?? "rw",
          ...mount.superOptions.slice(1),
          ...subvolume,
        ],
      };
    });
  }

  #root(): Place {
    const [root] = this.#mounts;
    if (root === undefined) throw new Error("A mount namespace without a root");
    return topOf({ mount: root, node: root.root });
  }

  #walk(from: Place, names: readonly string[], budget: { links: number }): Place | undefined {
    let at = from;
    for (const name of names) {
      if (name === "" || name === ".") continue;
      if (at.node.kind !== "directory") return undefined;
      if (name === "..") {
        at = parentOf(at);
        continue;
      }
      const node = at.node.entries.get(name);
      if (node === undefined) return undefined;
      if (node.kind === "symlink") {
        if (++budget.links > SYMLINK_LIMIT) {
          throw new Failure("unknown", `Cannot resolve ${name}: too many symbolic links (ELOOP)`);
        }
        const start = node.target.startsWith("/") ? this.#root() : at;
        const place = this.#walk(start, node.target.split("/"), budget);
        if (place === undefined) return undefined;
        at = place;
      } else at = topOf({ mount: at.mount, node });
    }
    return at;
  }
}

/** Where a mount is, in its namespace's paths. */
export function pathOf(mount: SimMount): string {
  if (mount.parent === null || mount.point === null) return "/";
  return pathOfPlace({ mount: mount.parent, node: mount.point });
}

/** The way to a place, without links, in its namespace's paths. */
export function pathOfPlace({ mount, node }: Place): string {
  const above = pathOf(mount);
  const within = node.pathFrom(mount.root).path;
  if (within === "/") return above;
  return above === "/" ? within : `${above}${within}`;
}

/** The topmost mount on a place, if any, else the place. */
export function topOf(place: Place): Place {
  let top = place;
  for (let child = top.mount.children.get(top.node); child !== undefined; ) {
    top = { mount: child, node: child.root };
    child = child.children.get(child.root);
  }
  return top;
}

function parentOf(place: Place): Place {
  let { mount, node } = place;
  while (node === mount.root && mount.parent !== null && mount.point !== null) {
    node = mount.point;
    mount = mount.parent;
  }
  return topOf({ mount, node: node === mount.root ? node : (node.parent ?? node) });
}
