import { constants as fs, readdirSync } from "node:fs";
import { Failure } from "../core/failure.ts";
import { LAYER_DEPTH_LIMIT } from "../core/ports/layer-tar.ts";
import { OPEN_DIRECTORY } from "./directory-entries.ts";
import { nameBytes } from "./layer-directories.ts";
import { LayerEquality, type Side } from "./layer-equality.ts";
import { LayerLinks } from "./layer-links.ts";
import { attempt, errnoOfCall } from "./libc.ts";
import { close, HERE, nameOf, openAt } from "./libc-at.ts";
import { EntryStat, openInRoot } from "./libc-layer.ts";

const NOTHING = Buffer.alloc(1);
/** What a name that is gone, or something else by now, answers. */
const GONE: ReadonlySet<string | undefined> = new Set(["ENOENT", "ENOTDIR", "ELOOP", "ESTALE"]);

/** A directory of the tree, on the way down or remembered. */
export interface WalkedDirectory {
  /** Below the root, one character a byte; empty: the root. */
  readonly path: string;
  readonly parent: WalkedDirectory | null;
  readonly stat: EntryStat;
  readonly kind: "added" | "modified";
  /** Whether it was told. */
  told: boolean;
}

/** Who is told what differs. Paths have one character a byte. */
export interface LayerVisitor {
  /** @param fd The directory, open. */
  directory(kind: "added" | "modified", path: string, stat: EntryStat, fd: number): void;
  /** Something else than a directory, socket or hard link. @returns False: it is gone. */
  entry(kind: "added" | "modified", path: string, side: Side): boolean;
  /** One more name of what was told as `target`. */
  link(kind: "added" | "modified", path: string, target: string, stat: EntryStat): void;
  removed(path: string): void;
  /** Called now and then; throws when there is to be no more. */
  goOn(): void;
}

interface Level {
  readonly directory: WalkedDirectory;
  readonly after: number;
  readonly before: number | null;
  readonly names: Iterator<string>;
}

/**
 * Walks a tree beside its parent. Directories are opened by name in their open parent, without following a link: whatever is
 * swapped meanwhile, the walk stays inside.
 */
export class LayerWalk {
  readonly #visitor: LayerVisitor;
  readonly #levels: Level[] = [];
  readonly #is = new EntryStat();
  readonly #was = new EntryStat();
  readonly #equality = new LayerEquality();
  readonly #links = new LayerLinks();
  #root = -1;

  constructor(visitor: LayerVisitor) {
    this.#visitor = visitor;
  }

  /** @throws SyscallError, or a Failure when the tree is too deep. */
  run(root: string, parent: string | null): void {
    this.#root = openAt(HERE, nameOf(root), OPEN_DIRECTORY, root);
    try {
      const before = parent === null ? null : openAt(HERE, nameOf(parent), OPEN_DIRECTORY, parent);
      const after = openAt(HERE, nameOf(root), OPEN_DIRECTORY, root);
      this.#enterRoot(after, before);
      while (this.#levels.length > 0) this.#step();
    } finally {
      for (const level of this.#levels) closeLevel(level);
      close(this.#root);
    }
  }

  #enterRoot(after: number, before: number | null): void {
    this.#is.ask(after, NOTHING, ".");
    const is: Side = { stat: this.#is, directory: after, name: NOTHING };
    let kind: "added" | "modified" = "added";
    let told = false;
    if (before !== null) {
      this.#was.ask(before, NOTHING, ".");
      kind = "modified";
      told = this.#equality.areEqual({ stat: this.#was, directory: before, name: NOTHING }, is);
    }
    const directory = { path: "", parent: null, stat: this.#is.copy(), kind, told };
    this.#push(directory, after, before);
    this.#tell(directory);
  }

  #push(directory: WalkedDirectory, after: number, before: number | null): void {
    const names = merged(namesIn(after), before === null ? [] : namesIn(before));
    this.#levels.push({ directory, after, before, names });
    this.#visitor.goOn();
  }

  #step(): void {
    const level = this.#levels.at(-1) as Level;
    const next = level.names.next();
    if (next.done === true) {
      closeLevel(this.#levels.pop() as Level);
    } else this.#look(level, next.value);
  }

  #look(level: Level, text: string): void {
    const { directory, after, before } = level;
    const name = nameBytes(text);
    const path = directory.path === "" ? text : `${directory.path}/${text}`;
    const was =
      before !== null && this.#was.ask(before, name, path)
        ? { stat: this.#was, directory: before, name }
        : undefined;
    const is = this.#is.ask(after, name, path)
      ? { stat: this.#is, directory: after, name }
      : undefined;
    // What is mounted there is not of the tree, and what is under it cannot be seen.
    if (is?.stat.isMountPoint || was?.stat.isMountPoint) return;
    const known = was?.stat.kind === fs.S_IFSOCK ? undefined : was;
    if (is === undefined || is.stat.kind === fs.S_IFSOCK) {
      if (known !== undefined) this.#remove(directory, path);
    } else if (is.stat.isDirectory) this.#enter(level, path, known, is);
    else this.#compare(directory, path, known, is);
  }

  #remove(directory: WalkedDirectory, path: string): void {
    this.#tell(directory);
    this.#visitor.removed(path);
  }

  #enter(level: Level, path: string, was: Side | undefined, is: Side): void {
    if (this.#levels.length >= LAYER_DEPTH_LIMIT) {
      const why = `more than ${LAYER_DEPTH_LIMIT} directories lie inside one another`;
      throw new Failure("out_of_range", `Cannot read the layer: ${why}`);
    }
    const after = openIfThere(level.after, is.name, path);
    if (after === undefined) {
      if (was !== undefined) this.#remove(level.directory, path);
      return;
    }
    const both = was?.stat.isDirectory === true ? was : undefined;
    const before = both === undefined ? undefined : openIfThere(both.directory, is.name, path);
    const directory: WalkedDirectory = {
      ...{ path, parent: level.directory, stat: this.#is.copy() },
      kind: was === undefined ? "added" : "modified",
      told: false,
    };
    const changed = both === undefined || !this.#equality.areEqual(both, is);
    this.#push(directory, after, before ?? null);
    if (changed) this.#tell(directory);
  }

  #compare(directory: WalkedDirectory, path: string, was: Side | undefined, is: Side): void {
    const equal = was !== undefined && this.#equality.areEqual(was, is);
    const several = is.stat.nlink > 1 || (was !== undefined && was.stat.nlink > 1);
    const same = equal && (!several || this.#links.isKept(was.stat, is.stat));
    const kind = was === undefined ? "added" : "modified";
    if (is.stat.nlink < 2) {
      if (!same) this.#change(directory, kind, path, is);
      return;
    }
    const key = is.stat.identity;
    const target = this.#links.target(key);
    if (target !== undefined) {
      this.#tell(directory);
      this.#visitor.link(kind, path, target, is.stat);
    } else if (same) this.#links.remember(key, path, directory);
    else if (this.#change(directory, kind, path, is)) {
      // The unchanged names of the same file, which were passed already, become links to it in the layer.
      const stat = is.stat.copy();
      for (const other of this.#links.tell(key, path)) {
        this.#tell(other.directory);
        this.#visitor.link("modified", other.path, path, stat);
      }
    }
  }

  /** False: it is gone. */
  #change(directory: WalkedDirectory, kind: "added" | "modified", path: string, is: Side): boolean {
    this.#tell(directory);
    if (this.#visitor.entry(kind, path, is)) return true;
    if (kind === "modified") this.#visitor.removed(path);
    return false;
  }

  /** Tells of a directory and of those on the way to it, which were not told yet. */
  #tell(directory: WalkedDirectory): void {
    if (directory.told) return;
    directory.told = true;
    if (directory.parent !== null) this.#tell(directory.parent);
    const open = this.#levels.find((level) => level.directory === directory);
    const { kind, path, stat } = directory;
    if (open !== undefined) {
      this.#visitor.directory(kind, path, stat, open.after);
      return;
    }
    const fd = openInRoot(this.#root, nameBytes(path), "refused", path);
    try {
      this.#visitor.directory(kind, path, stat, fd);
    } finally {
      close(fd);
    }
  }
}

function closeLevel({ after, before }: Level): void {
  close(after);
  if (before !== null) close(before);
}

function openIfThere(directory: number, name: Buffer, path: string): number | undefined {
  try {
    return openAt(directory, name, OPEN_DIRECTORY, path);
  } catch (thrown) {
    if (GONE.has(errnoOfCall(thrown))) return undefined;
    throw thrown;
  }
}

/** In order of their bytes. */
function namesIn(fd: number): readonly string[] {
  const read = () => readdirSync(`/proc/self/fd/${fd}`, { encoding: "latin1" });
  return attempt("list", "a directory", read).sort();
}

/** Each name of two sorted lists once, in order. */
function* merged(left: readonly string[], right: readonly string[]): Generator<string> {
  let l = 0;
  let r = 0;
  for (;;) {
    const a = left[l];
    const b = right[r];
    const next = a === undefined ? b : b === undefined || a < b ? a : b;
    if (next === undefined) return;
    if (a === next) l++;
    if (b === next) r++;
    yield next;
  }
}
