import { refusal } from "../core/archive/block.ts";
import { shown } from "../core/archive/bytes.ts";
import { OPEN_DIRECTORY } from "./directory-entries.ts";
import { SyscallError } from "./libc.ts";
import { close, HERE, makeDirectoryAt, nameOf, openAt } from "./libc-at.ts";
import {
  EntryStat,
  hasAttribute,
  openInRoot,
  removeAttribute,
  setMode,
  setOwner,
  setTime,
  unlinkAt,
} from "./libc-layer.ts";

/** Most directories that are kept open: entries mostly come directory by directory. */
const OPEN_LIMIT = 64;
/** Of directories that no entry tells of. */
const IMPLIED_MODE = 0o755;

const SET_GROUP = 0o2000;
const NOTHING = Buffer.alloc(1);
/** Access control lists as attributes. */
export const ACCESS_ACL: Buffer = Buffer.from("system.posix_acl_access\0");
export const DEFAULT_ACL: Buffer = Buffer.from("system.posix_acl_default\0");

/** An open directory of the tree. Valid until the next entry. */
export interface Place {
  readonly fd: number;
  /** The same for all ways to it. */
  readonly key: string;
  /** Whether what is made in it gets a group or an access control list from it. */
  readonly inherits: boolean;
}

/** A directory whose time is set at the end, when nothing more is made in it. */
interface Timed {
  readonly path: string;
  /** Null: it stays as it comes. */
  readonly mtimeNs: bigint | null;
}

/** The bytes of a name that has one character for each, with a NUL. */
export function nameBytes(text: string): Buffer {
  return Buffer.from(`${text}\0`, "latin1");
}

/**
 * The directories of a tree that a layer is applied to. Every way is walked by the kernel, in the root: see {@link openInRoot}.
 */
export class LayerDirectories {
  #root: Place;
  readonly #open = new Map<string, Place>();
  /** No longer in use for the next entry, but maybe for this one. */
  #retired: Place[] = [];
  readonly #times = new Map<string, Timed>();
  readonly #stat = new EntryStat();

  readonly #charge: (bytes: number) => void;

  /** @param charge Takes what is kept in memory, and throws when it is too much. */
  constructor(path: string, charge: (bytes: number) => void) {
    this.#charge = charge;
    this.#root = this.#placeOf(openAt(HERE, nameOf(path), OPEN_DIRECTORY, path), "");
  }

  get root(): Place {
    return this.#root;
  }

  /** The directory at `path`. @throws SyscallError when there is none. */
  find(path: string): Place {
    if (path === "") return this.root;
    const known = this.#open.get(path);
    if (known === undefined) {
      return this.#keep(path, openInRoot(this.root.fd, nameBytes(path), "followed", path));
    }
    // The last in line to be closed.
    this.#open.delete(path);
    this.#open.set(path, known);
    return known;
  }

  /**
   * The directory at `path`, made with all on the way to it where there is none.
   *
   * @param isOfLayer Whether the entry of this name in a directory came with the layer: then it is not replaced.
   */
  at(path: string, isOfLayer: (place: Place, name: string) => boolean): Place {
    try {
      return this.find(path);
    } catch (thrown) {
      const errno = thrown instanceof SyscallError ? thrown.errno : undefined;
      if (errno !== "ENOENT" && errno !== "ENOTDIR") throw thrown;
    }
    const cut = path.lastIndexOf("/");
    const parent = this.at(cut < 0 ? "" : path.slice(0, cut), isOfLayer);
    const base = path.slice(cut + 1);
    this.#makeImplied(parent, base, path, isOfLayer);
    return this.#keep(path, openInRoot(this.root.fd, nameBytes(path), "followed", path), true);
  }

  /** Takes over an open directory that an entry has made or described, with the time that it gets at the end. */
  adopt(path: string, fd: number, mtimeNs: bigint): void {
    this.#retire(path);
    const { key } = this.#keep(path, fd, true);
    this.#times.set(key, { path, mtimeNs });
  }

  /** As {@link adopt}, of the root. */
  adoptRoot(mtimeNs: bigint): void {
    this.#root = this.#placeOf(this.#root.fd, "");
    this.#times.set(this.#root.key, { path: "", mtimeNs });
  }

  /** To be called when a directory or a symbolic link went: names may lead elsewhere now. */
  forget(): void {
    for (const place of this.#open.values()) this.#retired.push(place);
    this.#open.clear();
  }

  /** To be called before each entry. */
  closeRetired(): void {
    if (this.#retired.length === 0) return;
    for (const { fd } of this.#retired) close(fd);
    this.#retired = [];
  }

  /** Gives the directories their times; those that went, or were replaced, have none. */
  restoreTimes(): void {
    for (const [key, { path, mtimeNs }] of this.#times) {
      if (mtimeNs === null) continue;
      const fd = path === "" ? this.root.fd : this.#find(path);
      if (fd === undefined) continue;
      try {
        if (this.#identity(fd, path) === key) setTime(fd, mtimeNs, path);
      } finally {
        if (fd !== this.root.fd) close(fd);
      }
    }
  }

  close(): void {
    this.forget();
    this.closeRetired();
    close(this.root.fd);
  }

  #find(path: string): number | undefined {
    try {
      return openInRoot(this.root.fd, nameBytes(path), "followed", path);
    } catch (thrown) {
      if (thrown instanceof SyscallError && ["ENOENT", "ENOTDIR", "ELOOP"].includes(thrown.errno)) {
        return undefined;
      }
      throw thrown;
    }
  }

  #makeImplied(
    parent: Place,
    base: string,
    path: string,
    isOfLayer: (place: Place, name: string) => boolean,
  ): void {
    const name = nameBytes(base);
    if (!makeDirectoryAt(parent.fd, name, path)) {
      const link = this.#stat.ask(parent.fd, name, path) && this.#stat.kind === 0o120000;
      if (link || isOfLayer(parent, base)) {
        const what = link ? "a symbolic link that leads to no directory" : "a file of the layer";
        throw refusal(`an entry lies in ${shown(path)}, which is ${what}`);
      }
      unlinkAt(parent.fd, name, path);
      makeDirectoryAt(parent.fd, name, path);
    }
    this.makePlain(parent, name, path);
  }

  /** Gives a directory the owner and mode of one that no entry tells of, and nothing of its parent. */
  makePlain(parent: { readonly fd: number }, name: Buffer, path: string): void {
    const fd = openAt(parent.fd, name, OPEN_DIRECTORY, path);
    try {
      setOwner(fd, 0, 0, path);
      for (const acl of [ACCESS_ACL, DEFAULT_ACL]) removeAttribute(fd, acl, path);
      setMode(fd, IMPLIED_MODE, path);
    } finally {
      close(fd);
    }
  }

  #keep(path: string, fd: number, isNew = false): Place {
    const place = this.#placeOf(fd, path, isNew);
    if (this.#open.size >= OPEN_LIMIT) {
      for (const oldest of this.#open.keys()) {
        this.#retire(oldest);
        break;
      }
    }
    this.#open.set(path, place);
    return place;
  }

  #retire(path: string): void {
    const place = this.#open.get(path);
    if (place === undefined) return;
    this.#retired.push(place);
    this.#open.delete(path);
  }

  #placeOf(fd: number, path: string, isNew = false): Place {
    const key = this.#identity(fd, path);
    if (!this.#times.has(key)) this.#charge(key.length + path.length);
    if (isNew) this.#times.set(key, { path, mtimeNs: null });
    else if (!this.#times.has(key)) this.#times.set(key, { path, mtimeNs: this.#stat.mtimeNs });
    const inherits = (this.#stat.mode & SET_GROUP) !== 0 || hasAttribute(fd, DEFAULT_ACL);
    return { fd, key, inherits };
  }

  #identity(fd: number, path: string): string {
    if (!this.#stat.ask(fd, NOTHING, path)) throw new SyscallError("look at", path, "ENOENT");
    return this.#stat.identity;
  }
}
