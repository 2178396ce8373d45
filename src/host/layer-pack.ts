import { constants as fs, readSync } from "node:fs";
import { paddedBytes } from "../core/archive/block.ts";
import { bytesOf, shown } from "../core/archive/bytes.ts";
import { attributeKeyword, type Entry, type EntryKind } from "../core/archive/entry.ts";
import { formatEntry } from "../core/archive/format.ts";
import { WHITEOUT_PREFIX } from "../core/archive/layer-name.ts";
import { Failure } from "../core/failure.ts";
import { OPEN_FILE } from "./directory-entries.ts";
import { findParts, type Parts } from "./file-parts.ts";
import { layerAttributes, linkTarget, type Side, wayTo } from "./layer-equality.ts";
import { PipeClosed } from "./layer-outcome.ts";
import type { LayerVisitor } from "./layer-walk.ts";
import { attempt, errnoOfCall } from "./libc.ts";
import { close, openAt } from "./libc-at.ts";
import { EntryStat } from "./libc-layer.ts";
import type { ThreadEnd } from "./shared-pipe.ts";

const NOTHING = Buffer.alloc(1);
const NS_PER_S = 1_000_000_000n;
/** Two blocks of zeros. */
const END = new Uint8Array(1024);
/** From so many bytes of holes on, a file is written without them: few programs but tars know that form. */
const HOLES_BYTES = 64 * 1024;

const KIND: ReadonlyMap<number, EntryKind> = new Map([
  [fs.S_IFREG, "file"],
  [fs.S_IFDIR, "directory"],
  [fs.S_IFLNK, "symbolic link"],
  [fs.S_IFCHR, "character device"],
  [fs.S_IFBLK, "block device"],
  [fs.S_IFIFO, "FIFO"],
]);

/** Writes what differs as a layer. */
export class LayerPack implements LayerVisitor {
  readonly #pipe: ThreadEnd;
  readonly #stat = new EntryStat();

  constructor(pipe: ThreadEnd) {
    this.#pipe = pipe;
  }

  goOn(): void {
    if (this.#pipe.closed) throw new PipeClosed();
  }

  directory(_: "added" | "modified", path: string, stat: EntryStat, fd: number): void {
    const attributes = layerAttributes(Buffer.from(`/proc/self/fd/${fd}/.\0`));
    this.#write(formatEntry(entryOf(path, stat, attributes)));
  }

  entry(_: "added" | "modified", path: string, side: Side): boolean {
    if (side.stat.isFile) return this.#writeFile(path, side);
    try {
      const entry = entryOf(path, side.stat, layerAttributes(wayTo(side)));
      const linkPath = entry.kind === "symbolic link" ? linkTarget(side) : "";
      this.#write(formatEntry({ ...entry, linkPath }));
      return true;
    } catch (thrown) {
      if (["ENOENT", "EINVAL"].includes(errnoOfCall(thrown) ?? "")) return false;
      throw thrown;
    }
  }

  link(_: "added" | "modified", path: string, target: string, stat: EntryStat): void {
    this.#write(formatEntry({ ...entryOf(path, stat, []), kind: "hard link", linkPath: target }));
  }

  removed(path: string): void {
    const cut = path.lastIndexOf("/") + 1;
    checkName(path);
    const whiteout = `${path.slice(0, cut)}${WHITEOUT_PREFIX}${path.slice(cut)}`;
    this.#write(formatEntry({ ...WHITEOUT, path: whiteout }));
  }

  /** Ends the layer. */
  end(): void {
    this.#write(END);
  }

  #write(bytes: Uint8Array): void {
    if (!this.#pipe.write(bytes)) throw new PipeClosed();
  }

  #writeFile(path: string, side: Side): boolean {
    const fd = openFile(path, side);
    if (fd === undefined) return false;
    try {
      const stat = this.#stat;
      if (!stat.ask(fd, NOTHING, path) || !stat.isFile || !stat.hasInodeOf(side.stat)) return false;
      const attributes = layerAttributes(wayTo(side));
      const entry = entryOf(path, stat, attributes);
      const { sizeBytes } = stat;
      const parts =
        stat.storedBytes + HOLES_BYTES <= sizeBytes ? findParts(fd, sizeBytes, path) : undefined;
      const before = stat.copy();
      if (parts === undefined) {
        this.#write(formatEntry({ ...entry, size: sizeBytes }));
        this.#writeContent(fd, 0, sizeBytes, path);
        this.#pad(sizeBytes);
      } else this.#writeSparse(fd, parts, { ...entry, sparseBytes: sizeBytes });
      const isSame = stat.ask(fd, NOTHING, path) && stat.hasTimeOf(before);
      if (!isSame || stat.sizeBytes !== sizeBytes) throw changed(path);
      return true;
    } finally {
      close(fd);
    }
  }

  #writeSparse(fd: number, parts: Parts, entry: Entry): void {
    const numbers = parts.flat();
    const lines = bytesOf([parts.length, ...numbers].map((number) => `${number}\n`).join(""));
    const map = new Uint8Array(paddedBytes(lines.length));
    map.set(lines);
    const content = parts.reduce((sum, [, sizeBytes]) => sum + sizeBytes, 0);
    this.#write(formatEntry({ ...entry, size: map.length + content }));
    this.#write(map);
    for (const [offset, sizeBytes] of parts) this.#writeContent(fd, offset, sizeBytes, entry.path);
    this.#pad(content);
  }

  #writeContent(fd: number, offset: number, sizeBytes: number, path: string): void {
    for (let at = 0; at < sizeBytes; ) {
      const room = this.#pipe.room();
      if (room === undefined) throw new PipeClosed();
      const wanted = Math.min(room.length, sizeBytes - at);
      const length = attempt("read", shown(path), () => readSync(fd, room, 0, wanted, offset + at));
      if (length === 0) throw changed(path);
      this.#pipe.wrote(length);
      at += length;
    }
  }

  #pad(sizeBytes: number): void {
    this.#write(new Uint8Array(paddedBytes(sizeBytes) - sizeBytes));
  }
}

const WHITEOUT: Entry = {
  ...{ kind: "file", path: "", linkPath: "", mode: 0, uid: 0, gid: 0, size: 0, mtime: "0" },
  ...{ major: 0, minor: 0, sparseBytes: null, attributes: [] },
};

function entryOf(
  path: string,
  stat: EntryStat,
  attributes: readonly (readonly [string, Buffer])[],
): Entry {
  checkName(path);
  const kind = KIND.get(stat.kind) ?? "file";
  const isDevice = kind.endsWith("device");
  return {
    ...{
      kind,
      path,
      linkPath: "",
      mode: stat.mode & 0o7777,
      uid: stat.uid,
      gid: stat.gid,
      size: 0,
    },
    mtime: secondsOf(stat.mtimeNs),
    major: isDevice ? stat.major : 0,
    minor: isDevice ? stat.minor : 0,
    sparseBytes: null,
    attributes: attributes.map(([name, value]) => [attributeKeyword(name), value] as const),
  };
}

/** What a layer cannot tell from a whiteout. Of the way to it every directory was told before. */
function checkName(path: string): void {
  if (!path.startsWith(WHITEOUT_PREFIX, path.lastIndexOf("/") + 1)) return;
  throw new Failure(
    "failed_precondition",
    `Cannot read the layer: ${shown(path)} begins with "${WHITEOUT_PREFIX}", which a layer has for what was removed; rename it`,
  );
}

function openFile(path: string, { directory, name }: Side): number | undefined {
  try {
    return openAt(directory, name, OPEN_FILE | fs.O_NOFOLLOW, path);
  } catch (thrown) {
    if (["ENOENT", "ELOOP", "ESTALE", "ENXIO"].includes(errnoOfCall(thrown) ?? ""))
      return undefined;
    throw thrown;
  }
}

function changed(path: string): Failure {
  return new Failure(
    "aborted",
    `Cannot read the layer: ${shown(path)} changed while it was read; stop what writes to it`,
  );
}

/** Seconds as decimal text. */
function secondsOf(ns: bigint): string {
  const size = ns < 0n ? -ns : ns;
  const fraction = (size % NS_PER_S).toString().padStart(9, "0").replace(/0+$/, "");
  const whole = `${ns < 0n ? "-" : ""}${size / NS_PER_S}`;
  return fraction === "" ? whole : `${whole}.${fraction}`;
}
