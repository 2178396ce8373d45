import { invariant } from "../core/failure.ts";
import { failureOf } from "./errno.ts";
import type { Entry, Place, SimMountNamespace } from "./mount-namespace.ts";
import { contentOf, utf8Bytes } from "./node.ts";

/** What a new process is. */
export interface ProcessOptions {
  readonly pid: number;
  readonly command?: string;
  readonly containerId?: string | null;
}

/** A process that is not ours, with the mounts that it sees: it reads and writes as applications do. */
export class SimProcess {
  readonly pid: number;
  readonly command: string;
  readonly containerId: string | null;
  readonly namespace: SimMountNamespace;
  readonly #ended: (process: SimProcess) => void;

  /** @param ended Told when the process ends. */
  constructor(
    options: ProcessOptions,
    namespace: SimMountNamespace,
    ended: (process: SimProcess) => void,
  ) {
    this.pid = options.pid;
    this.command = options.command ?? "sh";
    this.containerId = options.containerId ?? null;
    this.namespace = namespace;
    this.#ended = ended;
  }

  /**
   * Makes or overwrites a file: with a text, or with so many bytes. In memory, as write(2) leaves it.
   * @throws {Failure} `resource_exhausted` over a limit; `failed_precondition` where it is read-only.
   */
  write(path: string, content: string | number): void {
    const sizeBytes = typeof content === "number" ? content : utf8Bytes(content);
    const text = typeof content === "number" ? null : content;
    const entry = this.#entry("write", path);
    const { node } = entry.directory;
    const { fileSystem } = node.tree;
    const found = entry.place === undefined ? undefined : this.namespace.follow(path);
    const place = found ?? entry.directory;
    ensureWritable(place, "write", path);
    if (found !== undefined && found.node.kind !== "file") throw failureOf("write", path, "EISDIR");
    const file =
      found?.node ?? fileSystem.create(node, entry.name, "file", { mode: 0o644, uid: 0, gid: 0 });
    file.tree.fileSystem.setContent(file, contentOf(text, sizeBytes, sizeBytes), path);
  }

  /** Makes a file durable, as fsync(2) does. @throws {Failure} `not_found`; `failed_precondition` where it is read-only. */
  fsync(path: string): void {
    const place = this.namespace.follow(path);
    if (place === undefined) throw failureOf("fsync", path, "ENOENT");
    ensureWritable(place, "fsync", path);
    place.node.tree.fileSystem.persist(place.node);
  }

  /** The text of a file, or its size where it has none; undefined when absent. */
  read(path: string): string | number | undefined {
    const content = this.namespace.follow(path)?.node.attributes.content;
    return content && (content.text ?? content.sizeBytes);
  }

  /** Makes a directory and its missing parents, in memory. */
  makeDirectories(path: string): void {
    let at = "";
    for (const name of path.split("/").filter((part) => part !== "")) {
      at += `/${name}`;
      if (this.namespace.follow(at) !== undefined) continue;
      const { directory } = this.#entry("mkdir", at);
      ensureWritable(directory, "mkdir", at);
      directory.node.tree.fileSystem.create(directory.node, name, "directory", {
        mode: 0o755,
        uid: 0,
        gid: 0,
      });
    }
  }

  /** Makes a symbolic link, in memory. */
  link(target: string, path: string): void {
    const { directory, name, place } = this.#entry("symlink", path);
    if (place !== undefined) throw failureOf("symlink", path, "EEXIST");
    ensureWritable(directory, "symlink", path);
    const owner = { mode: 0o777, uid: 0, gid: 0 };
    directory.node.tree.fileSystem.create(directory.node, name, "symlink", owner, target);
  }

  /** Keeps a file or directory open, which keeps its mount busy, until the answer is called. */
  open(path: string): () => void {
    const place = this.namespace.follow(path);
    if (place === undefined) throw failureOf("open", path, "ENOENT");
    place.mount.holders++;
    let open = true;
    return () => {
      if (open) place.mount.holders--;
      open = false;
    };
  }

  /** Ends the process; its mounts go with it, unless another one shares them. */
  exit(): void {
    this.#ended(this);
  }

  #entry(call: string, path: string): Entry {
    const entry = this.namespace.findEntry(path);
    if (entry === undefined) throw failureOf(call, path, "ENOENT");
    if (entry.directory.node.kind !== "directory") throw failureOf(call, path, "ENOTDIR");
    return entry;
  }
}

/** @throws {Failure} `failed_precondition` when nothing may be changed at `place`. */
export function ensureWritable(place: Place, call: string, path: string): void {
  const { tree } = place.node;
  invariant(!tree.fileSystem.frozen, `${call} ${path} does not wait for ever: it is frozen`);
  if (place.mount.readOnly || tree.settings.readOnly || tree.fileSystem.faulted) {
    throw failureOf(call, path, "EROFS");
  }
}
