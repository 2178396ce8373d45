import { constants as fs } from "node:fs";
import { refusal } from "../core/archive/block.ts";
import { shown } from "../core/archive/bytes.ts";
import { attributeName, type Entry, type EntryKind } from "../core/archive/entry.ts";
import { parseLayerName } from "../core/archive/layer-name.ts";
import type { ArchiveSink } from "../core/archive/reader.ts";
import { Failure } from "../core/failure.ts";
import { LAYER_NAMES_LIMIT_BYTES } from "../core/ports/layer-tar.ts";
import { attributesOf } from "./attributes.ts";
import { OPEN_DIRECTORY } from "./directory-entries.ts";
import { errnoOf, failureOfErrno } from "./errno.ts";
import { ACCESS_ACL, LayerDirectories, nameBytes, type Place } from "./layer-directories.ts";
import { LayerFile } from "./layer-file.ts";
import { removeContent, removeEntry, SPARE_NOTHING, type Sparing } from "./layer-removal.ts";
import { SyscallError } from "./libc.ts";
import {
  close,
  handleOf,
  linkAt,
  makeDirectoryAt,
  makeFileAt,
  makeLinkAt,
  makeNodeAt,
  openAt,
  setModeAt,
  setOwnerAt,
  setTimesAt,
} from "./libc-at.ts";
import {
  type AttributeHolder,
  EntryStat,
  removeAttribute,
  setAttribute,
  setMode,
  setOwner,
  setTime,
} from "./libc-layer.ts";

/** What a name that is kept in mind takes besides its own bytes, about. */
const KEPT_BYTES = 96;
const KIND_BITS: Readonly<Partial<Record<EntryKind, number>>> = {
  "character device": fs.S_IFCHR,
  "block device": fs.S_IFBLK,
  FIFO: fs.S_IFIFO,
};

/** A file whose content comes. */
interface Coming {
  readonly fd: number;
  readonly file: LayerFile;
  readonly entry: Entry;
  readonly inherits: boolean;
  left: number;
}

/** Writes the entries of a layer into a tree. For worker threads only: every call can wait. */
export class LayerWriter implements ArchiveSink {
  readonly #directories: LayerDirectories;
  /** Directory and name of what came with the layer, whatever the way it was told. */
  readonly #came = new Set<string>();
  readonly #sparing: Sparing;
  readonly #stat = new EntryStat();
  #keptBytes = 0;
  #coming: Coming | undefined;
  #sizeBytes = 0;

  constructor(root: string) {
    this.#directories = new LayerDirectories(root, (bytes) => this.#keep(bytes));
    this.#sparing = {
      isSpared: (key, name) => this.#came.has(key + name.toString("latin1", 0, name.length - 1)),
      emptied: (fd, name) => this.#directories.makePlain({ fd }, name, "a directory"),
    };
  }

  /** Of the files so far, with their holes. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  entry(entry: Entry): void {
    naming(entry, () => {
      this.#directories.closeRetired();
      const name = parseLayerName(entry.path);
      switch (name.says) {
        case "nothing":
          // What AUFS kept there has content, which goes nowhere.
          return;
        case "root":
          describe(this.#directories.root.fd, entry, true);
          this.#directories.adoptRoot(nanosecondsOf(entry.mtime));
          return;
        case "opaque":
          this.#clear(this.#directoryAt(name.directory));
          return;
        case "whiteout":
          this.#remove(this.#directoryAt(name.directory), name.name, this.#sparing);
          return;
        case "entry":
          this.#make(this.#directoryAt(name.directory), name.name, entry);
      }
    });
  }

  content(piece: Uint8Array): void {
    const coming = this.#coming;
    if (coming === undefined) return;
    naming(coming.entry, () => {
      coming.file.write(piece);
      coming.left -= piece.length;
      if (coming.left === 0) this.#finish(coming);
    });
  }

  padding(): void {}

  /** Sets what could only be set when everything is there. */
  end(): void {
    this.#directories.restoreTimes();
  }

  close(): void {
    if (this.#coming !== undefined) close(this.#coming.fd);
    this.#directories.close();
  }

  #directoryAt(path: string): Place {
    return this.#directories.at(path, (place, name) => this.#came.has(place.key + name));
  }

  #keep(bytes: number): void {
    this.#keptBytes += bytes + KEPT_BYTES;
    if (this.#keptBytes <= LAYER_NAMES_LIMIT_BYTES) return;
    throw new Failure(
      "resource_exhausted",
      "Cannot apply the layer: it has more names than can be kept in mind",
    );
  }

  /** Empties a directory of what was there before the layer. */
  #clear(place: Place): void {
    removeContent(place.fd, this.#sparing, "a directory");
    this.#directories.forget();
  }

  #remove(place: Place, name: string, sparing: Sparing): void {
    const bytes = nameBytes(name);
    const spared = sparing.isSpared(place.key, bytes);
    if (!this.#stat.ask(place.fd, bytes, name)) return;
    const leads = this.#stat.isDirectory || this.#stat.kind === fs.S_IFLNK;
    removeEntry(place.fd, bytes, sparing, spared, name);
    if (leads) this.#directories.forget();
  }

  #make(place: Place, name: string, entry: Entry): void {
    const bytes = nameBytes(name);
    if (entry.kind === "directory") this.#makeDirectory(place, bytes, entry);
    else if (entry.kind === "hard link") this.#makeHardLink(place, bytes, entry);
    else if (entry.kind === "file") this.#makeFile(place, bytes, entry);
    else this.#makeOther(place, bytes, entry);
    const key = place.key + name;
    if (this.#came.has(key)) return;
    this.#keep(key.length);
    this.#came.add(key);
  }

  /** Makes what has no name there yet, in the place of what has. @param make Undefined or false: the name is taken. */
  #inPlace<T>(place: Place, name: Buffer, make: () => T | undefined | false): T {
    const made = make();
    if (made !== undefined && made !== false) return made;
    this.#remove(place, name.toString("latin1", 0, name.length - 1), SPARE_NOTHING);
    const again = make();
    if (again !== undefined && again !== false) return again;
    throw new SyscallError("make", name.toString("latin1"), "EEXIST");
  }

  #makeDirectory(place: Place, name: Buffer, entry: Entry): void {
    const { path } = entry;
    const isNew = makeDirectoryAt(place.fd, name, path);
    const isOld = !isNew && this.#stat.ask(place.fd, name, path) && this.#stat.isDirectory;
    if (!isNew && !isOld) {
      this.#inPlace(place, name, () => makeDirectoryAt(place.fd, name, path));
    }
    const fd = openAt(place.fd, name, OPEN_DIRECTORY, path);
    describe(fd, entry, isOld || place.inherits);
    // By another name it may be open already, and what it hands down is another now.
    if (isOld) this.#directories.forget();
    this.#directories.adopt(path, fd, nanosecondsOf(entry.mtime));
  }

  #makeFile(place: Place, name: Buffer, entry: Entry): void {
    const { path, size, sparseBytes } = entry;
    const fd = this.#inPlace(place, name, () => makeFileAt(place.fd, name, path));
    const file = new LayerFile(fd, size, sparseBytes, path);
    this.#sizeBytes += sparseBytes ?? size;
    this.#coming = { fd, file, entry, inherits: place.inherits, left: size };
    if (size === 0) this.#finish(this.#coming);
  }

  #finish({ fd, file, entry, inherits }: Coming): void {
    const { uid, gid, mode, mtime, path } = entry;
    file.end();
    // In this order: a change of owner takes capabilities and set-id bits away.
    if (uid !== 0 || gid !== 0 || inherits) setOwner(fd, uid, gid, path);
    if (inherits) removeAttribute(fd, ACCESS_ACL, path);
    setMode(fd, mode, path);
    setAttributes(fd, entry);
    setTime(fd, nanosecondsOf(mtime), path);
    this.#coming = undefined;
    close(fd);
  }

  #makeHardLink(place: Place, name: Buffer, entry: Entry): void {
    const { path, linkPath } = entry;
    const cut = linkPath.lastIndexOf("/");
    const source = this.#directoryOf(linkPath.slice(0, Math.max(cut, 0)), entry);
    const target = nameBytes(linkPath.slice(cut + 1));
    if (!this.#stat.ask(source.fd, target, path)) throw this.#linksToNothing(entry);
    if (this.#stat.isDirectory) {
      throw refusal(`entry ${shown(path)} is a hard link to the directory ${shown(linkPath)}`);
    }
    const { identity } = this.#stat;
    if (this.#stat.ask(place.fd, name, path) && this.#stat.identity === identity) return;
    this.#inPlace(place, name, () => {
      // What it leads to may have been in what it replaces.
      if (!this.#stat.ask(source.fd, target, path)) throw this.#linksToNothing(entry);
      return linkAt(source.fd, target, place.fd, name, path);
    });
  }

  #linksToNothing({ path, linkPath }: Entry): Failure {
    return refusal(`entry ${shown(path)} is a hard link to ${shown(linkPath)}, which is not there`);
  }

  /** Of what a hard link leads to: not made when it is absent. */
  #directoryOf(path: string, entry: Entry): Place {
    try {
      return this.#directories.find(path);
    } catch (thrown) {
      if (thrown instanceof SyscallError && ["ENOENT", "ENOTDIR"].includes(thrown.errno)) {
        throw this.#linksToNothing(entry);
      }
      throw thrown;
    }
  }

  #makeOther(place: Place, name: Buffer, entry: Entry): void {
    const { path, kind, linkPath, uid, gid, mode, major, minor } = entry;
    const device = deviceNumber(BigInt(major), BigInt(minor));
    const bits = KIND_BITS[kind];
    this.#inPlace(place, name, () =>
      bits === undefined
        ? makeLinkAt(nameBytes(linkPath), place.fd, name, path)
        : makeNodeAt(
            place.fd,
            name,
            { mode: bits, device: bits === fs.S_IFIFO ? 0n : device },
            path,
          ),
    );
    setOwnerAt(place.fd, name, { uid: BigInt(uid), gid: BigInt(gid) }, path);
    const handle = Buffer.concat([handleOf(place.fd).subarray(0, -1), Buffer.from("/"), name]);
    if (bits !== undefined) {
      if (place.inherits) removeAttribute(handle, ACCESS_ACL, path);
      setModeAt(place.fd, name, mode, path);
    }
    setAttributes(handle, entry);
    const mtimeNs = nanosecondsOf(entry.mtime);
    setTimesAt(place.fd, name, { atimeNs: mtimeNs, mtimeNs }, path);
  }
}

/** Gives an open directory what its entry says, but for its time. @param isOld It may have attributes already. */
function describe(fd: number, entry: Entry, isOld: boolean): void {
  const { uid, gid, mode, path } = entry;
  setOwner(fd, uid, gid, path);
  if (isOld) {
    const itself = Buffer.from(`/proc/self/fd/${fd}/.\0`);
    for (const [name] of attributesOf(itself)) removeAttribute(fd, nameBytes(name), path);
  }
  setMode(fd, mode, path);
  setAttributes(fd, entry);
}

function setAttributes(holder: AttributeHolder, { attributes, path, kind }: Entry): void {
  for (const [keyword, value] of attributes) {
    const name = attributeName(keyword) ?? "";
    // Users' attributes are for files and directories: xattr(7).
    if (name.startsWith("user.") && kind !== "file" && kind !== "directory") continue;
    setAttribute(holder, nameBytes(name), value, path);
  }
}

/** As glibc's makedev(3) puts the two numbers together. */
function deviceNumber(major: bigint, minor: bigint): bigint {
  const high = ((major & 0xfffff000n) << 32n) | ((minor & 0xffffff00n) << 12n);
  return high | ((major & 0xfffn) << 8n) | (minor & 0xffn);
}

/** @param time Seconds, as decimal text with up to nine digits of a fraction. */
function nanosecondsOf(time: string): bigint {
  const [seconds = "0", fraction = ""] = time.split(".");
  const ns = BigInt(fraction.padEnd(9, "0"));
  const whole = BigInt(seconds) * 1_000_000_000n;
  return time.startsWith("-") ? whole - ns : whole + ns;
}

/** Does a piece of work; what fails is told with the entry's name. */
function naming(entry: Entry, work: () => void): void {
  try {
    work();
  } catch (thrown) {
    if (thrown instanceof Failure) throw thrown;
    const errno = thrown instanceof SyscallError ? thrown.errno : errnoOf(thrown);
    if (errno === undefined) throw thrown;
    const cause = thrown instanceof SyscallError ? thrown.call : "use";
    const what = `apply entry ${shown(entry.path)} of the layer: cannot ${cause}`;
    throw failureOfErrno(what, "it", errno);
  }
}
