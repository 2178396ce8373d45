import { type BigIntStats, fstatSync } from "node:fs";
import { DEPTH_LIMIT, entriesOf, OPEN_DIRECTORY, OPEN_FILE, SELF } from "./directory-entries.ts";
import { FileBytes } from "./file-bytes.ts";
import { SyscallError } from "./libc.ts";
import {
  type AttributeOwner,
  close,
  copyAttribute,
  HERE,
  handleOf,
  holdAt,
  holdMountAt,
  linkAt,
  listAttributes,
  makeDirectoryAt,
  makeFileAt,
  makeLinkAt,
  makeNodeAt,
  nameOf,
  openAt,
  readLink,
  setModeAt,
  setOwnerAt,
  setTimesAt,
  syncFileSystem,
} from "./libc-at.ts";

/** Longest path that a call takes, with its NUL (PATH_MAX). */
const PATH_LIMIT_BYTES = 4_096;
/** What file systems round a file up to, in bytes: so what is copied is told as what it holds on the disk. */
const BLOCK_BYTES = 4_096;
const SLASH = Buffer.from("/");

/** A directory on the way down. Its attributes come when its entries are there. */
interface Level {
  readonly from: number;
  readonly to: number;
  readonly stats: BigIntStats;
  readonly entries: Iterator<Buffer>;
  /** Its name in the level above, and the way from the top; with a NUL. */
  readonly name: Buffer;
  readonly path: Buffer;
}

/** A file with several names: the first that was met, and how many are still to come. */
interface Linked {
  readonly path: Buffer;
  left: number;
}

/**
 * `Files.copyTree`, in a thread of its own. The target's parent is to be nobody else's.
 *
 * 1. Entries of the source are reached by the descriptor of their directory, and first held without being opened: what
 *    becomes a link, a FIFO or a device between two looks is copied as that, never followed, waited for or woken.
 * 2. What is held is what is copied, so that a name that is given to another file meanwhile (as a program does that
 *    replaces a file) is never missing.
 *
 * @param stop Not zero in its first place: it is to end, with ECANCELED.
 * @param copied Counts the bytes that were copied, in its first place.
 */
export function copyTree(
  source: string,
  target: string,
  stop: Int32Array,
  copied: BigInt64Array,
): void {
  const from = openAt(HERE, nameOf(source), OPEN_DIRECTORY, source);
  try {
    const name = nameOf(target);
    if (!makeDirectoryAt(HERE, name, target)) throw new SyscallError("copy to", target, "EEXIST");
    const to = openAt(HERE, name, OPEN_DIRECTORY, target);
    try {
      new TreeCopy(source, stop, copied).copy(from, to);
      const stats = fstatSync(from, { bigint: true });
      copyAttributes(from, to, HERE, name, stats, target);
      syncFileSystem(to, target);
    } finally {
      close(to);
    }
  } finally {
    close(from);
  }
}

/** `Files.makeDirectoryLike`. */
export function makeDirectoryLike(path: string, model: string): void {
  const from = openAt(HERE, nameOf(model), OPEN_DIRECTORY, model);
  try {
    const name = nameOf(path);
    if (!makeDirectoryAt(HERE, name, path))
      throw new SyscallError("make directory", path, "EEXIST");
    const to = openAt(HERE, name, OPEN_DIRECTORY, path);
    try {
      const stats = fstatSync(from, { bigint: true });
      copyAttributes(from, to, HERE, name, stats, path, isNotOverlays);
    } finally {
      close(to);
    }
  } finally {
    close(from);
  }
}

function isNotOverlays(attribute: Buffer): boolean {
  return !attribute.toString("latin1").startsWith("trusted.overlay.");
}

class TreeCopy {
  readonly #source: string;
  readonly #stop: Int32Array;
  readonly #bytes: FileBytes;
  readonly #linked = new Map<string, Linked>();
  readonly #levels: Level[] = [];

  constructor(source: string, stop: Int32Array, copied: BigInt64Array) {
    this.#source = source;
    this.#stop = stop;
    this.#bytes = new FileBytes(
      () => this.#goOn(),
      (bytes) => Atomics.add(copied, 0, BigInt(Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES)),
    );
  }

  /** Copies what is in the directory `from` into `to`. */
  copy(from: number, to: number): void {
    const top = fstatSync(from, { bigint: true });
    const entries = entriesOf(from, this.#source);
    this.#levels.push({ from, to, stats: top, entries, name: SELF, path: Buffer.alloc(0) });
    try {
      for (let level = this.#level; this.#levels.length > 0; level = this.#level) {
        this.#goOn();
        const next = level.entries.next();
        if (next.done !== true) this.#copyEntry(level, next.value, top.dev);
        else if (this.#levels.length === 1) return;
        else this.#leave();
      }
    } finally {
      for (const level of this.#levels.splice(1)) closeLevel(level);
    }
  }

  get #level(): Level {
    return this.#levels.at(-1) as Level;
  }

  #goOn(): void {
    if (Atomics.load(this.#stop, 0) === 0) return;
    throw new SyscallError("copy", this.#source, "ECANCELED");
  }

  #copyEntry(level: Level, name: Buffer, device: bigint): void {
    const path = this.#pathOf(level, name);
    const held = holdAt(level.from, name, path);
    if (held === undefined) return;
    const crosses = held === "mount";
    const fd = crosses ? holdMountAt(level.from, name, path) : held;
    try {
      const stats = fstatSync(fd, { bigint: true });
      if (stats.isDirectory()) this.#enter(level, fd, name, stats, crosses || stats.dev !== device);
      // A file that something is mounted on is not of this tree, and what is under it cannot be reached.
      else if (!crosses && !this.#copyAsLink(level, name, stats, path)) {
        this.#copyFile(level, fd, name, stats, path);
      }
    } finally {
      close(fd);
    }
  }

  /** Goes down into a directory, or makes it empty when it is the root of another file system. */
  #enter(level: Level, fd: number, name: Buffer, stats: BigIntStats, stays: boolean): void {
    const path = this.#pathOf(level, name);
    if (!makeDirectoryAt(level.to, name, path)) return;
    if (this.#levels.length >= DEPTH_LIMIT) {
      const why = `it has more than ${DEPTH_LIMIT} directories in one another`;
      throw new SyscallError("copy", this.#source, "ELOOP", { code: "failed_precondition", why });
    }
    const from = openAt(fd, SELF, OPEN_DIRECTORY, path);
    const to = openAt(level.to, name, OPEN_DIRECTORY, path);
    const way = Buffer.concat([level.path, name.subarray(0, -1), SLASH]);
    const entries = stays ? [].values() : entriesOf(from, path);
    this.#levels.push({ from, to, stats, entries, name: Buffer.from(name), path: way });
  }

  /** Comes back up from a directory that is done. */
  #leave(): void {
    const level = this.#levels.pop() as Level;
    try {
      const { from, to, name, stats } = level;
      const path = this.#pathOf(this.#level, name);
      copyAttributes(from, to, this.#level.to, name, stats, path);
    } finally {
      closeLevel(level);
    }
  }

  /** True when another name of the same file is there already, and this one now too. */
  #copyAsLink(level: Level, name: Buffer, stats: BigIntStats, path: string): boolean {
    if (stats.nlink < 2n) return false;
    // With its birth: a number that became free may be another file's by now.
    const key = `${stats.ino}:${stats.birthtimeNs}`;
    const known = this.#linked.get(key);
    if (known === undefined) {
      const first = Buffer.concat([level.path, name]);
      this.#linked.set(key, { path: first, left: Number(stats.nlink) - 1 });
      return false;
    }
    const top = this.#levels[0] as Level;
    const linked = withShortPath(top.to, known.path, path, (directory, first) =>
      linkAt(directory, first, level.to, name, path),
    );
    if (linked) known.left--;
    if (known.left === 0) this.#linked.delete(key);
    return true;
  }

  #copyFile(level: Level, fd: number, name: Buffer, stats: BigIntStats, path: string): void {
    if (stats.isFile()) this.#copyRegular(level, fd, name, path);
    else {
      const made = stats.isSymbolicLink()
        ? makeLinkAt(readLink(fd, path), level.to, name, path)
        : makeNodeAt(level.to, name, { mode: Number(stats.mode), device: stats.rdev }, path);
      if (made) copyAttributes(handleOf(fd), undefined, level.to, name, stats, path);
    }
  }

  #copyRegular(level: Level, held: number, name: Buffer, path: string): void {
    const from = openAt(HERE, handleOf(held), OPEN_FILE, path);
    try {
      const to = makeFileAt(level.to, name, path);
      if (to === undefined) return;
      try {
        const stats = fstatSync(from, { bigint: true });
        this.#bytes.copy(from, to, Number(stats.size), path);
        copyAttributes(from, to, level.to, name, stats, path);
      } finally {
        close(to);
      }
    } finally {
      close(from);
    }
  }

  /** For messages. */
  #pathOf(level: Level, name: Buffer): string {
    return `${this.#source}/${level.path.toString()}${name.toString("utf8", 0, name.length - 1)}`;
  }
}

/** Goes down, in a tree that is ours alone, until the rest of the way is no longer than the kernel takes. */
function withShortPath<T>(
  top: number,
  way: Buffer,
  path: string,
  work: (directory: number, rest: Buffer) => T,
): T {
  if (way.length <= PATH_LIMIT_BYTES) return work(top, way);
  const cut = way.lastIndexOf(SLASH, PATH_LIMIT_BYTES - 2);
  const next = openAt(top, nameOf(way.subarray(0, cut)), OPEN_DIRECTORY, path);
  try {
    return withShortPath(next, way.subarray(cut + 1), path, work);
  } finally {
    close(next);
  }
}

function closeLevel({ from, to }: Level): void {
  close(from);
  close(to);
}

/** Owner, attributes, mode and times. @param to Undefined: `name` is to be opened when there is need. */
function copyAttributes(
  from: AttributeOwner,
  to: number | undefined,
  directory: number,
  name: Buffer,
  stats: BigIntStats,
  path: string,
  isWanted: (attribute: Buffer) => boolean = () => true,
): void {
  // In this order: a change of owner takes capabilities and set-id bits away, a change of mode neither.
  setOwnerAt(directory, name, stats, path);
  const attributes = listAttributes(from, path).filter(isWanted);
  if (attributes.length > 0) {
    const held = to === undefined ? holdMountAt(directory, name, path) : undefined;
    try {
      for (const attribute of attributes) {
        copyAttribute(from, to ?? handleOf(held ?? -1), attribute, path);
      }
    } finally {
      if (held !== undefined) close(held);
    }
  }
  if (!stats.isSymbolicLink()) setModeAt(directory, name, Number(stats.mode) & 0o7777, path);
  setTimesAt(directory, name, stats, path);
}
