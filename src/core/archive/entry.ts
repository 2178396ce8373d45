import { type Block, refusal } from "./block.ts";
import { shown, textOf } from "./bytes.ts";
import type { PaxRecords } from "./pax.ts";

/** What can be in an archive. */
export type EntryKind =
  | "file"
  | "hard link"
  | "symbolic link"
  | "character device"
  | "block device"
  | "directory"
  | "FIFO";

/**
 * What an archive is for. `archive`: any tool may have made it, and GNU tar reads it after us. `layer`: of an image, read as Docker
 * and containerd read it: names begin at the root whether with a slash or not, `..` takes the part before it away, what is no
 * file has no content whatever its header says, and ACLs are attributes, not texts.
 */
export type ArchiveForm = "archive" | "layer";

/** One entry, in one way whatever dialect it came in. */
export interface Entry {
  readonly kind: EntryKind;
  /** Below the root, without empty or `.` parts; empty: the root itself. */
  readonly path: string;
  /** Content of a symbolic link as it stands; of a hard link the path of the other name, as `path`. */
  readonly linkPath: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes that follow, without padding. Of a sparse file: its map and what is not holes. */
  readonly size: number;
  /** Seconds, as decimal text with up to nine digits of a fraction. */
  readonly mtime: string;
  readonly major: number;
  readonly minor: number;
  /** Size with its holes of a sparse file; null: it is stored whole. */
  readonly sparseBytes: number | null;
  /** Attributes and ACLs: keyword and value of an extended header, as GNU tar writes them. */
  readonly attributes: readonly (readonly [string, Uint8Array])[];
}

/** What stood before an entry's own header. */
export interface Prelude {
  readonly pax: PaxRecords | null;
  /** GNU's way to tell names over 100 bytes. */
  readonly longName: string | null;
  readonly longLink: string | null;
}

/** Longest path that Linux takes (PATH_MAX without its zero), in bytes. */
const PATH_LIMIT_BYTES = 4095;
const NAME_LIMIT_BYTES = 255;
/** The last id; the one above it means "leave as it is" to chown(2). */
const ID_LIMIT = 0xffff_fffe;

const KIND_OF_TYPE: Readonly<Record<string, EntryKind>> = {
  "0": "file",
  "\0": "file",
  // "Contiguous" was for other systems; everyone reads it as a file.
  "7": "file",
  "1": "hard link",
  "2": "symbolic link",
  "3": "character device",
  "4": "block device",
  "5": "directory",
  "6": "FIFO",
};

/** Kinds that are known and cannot be kept, as a message says them. */
const REFUSED_TYPES: Readonly<Record<string, string>> = {
  S: "is a sparse file in GNU tar's old way; make the archive with --format=posix",
  M: "is the rest of a file that another archive begins; give one whole archive",
  V: "is a volume label; make the archive without --label",
  D: "is a directory list of an incremental backup; make the archive without --incremental",
  N: "is a list of old long names; make the archive with --format=posix",
  X: "has an extended header of Solaris; make the archive with --format=posix",
  s: "is a socket; sockets cannot be kept in an archive",
};

/** Keywords that change what the entry is, in ways that tar programs do not agree on. */
const REFUSED_KEYWORDS =
  /^(GNU\.sparse\.(?!(major|minor|name|realsize)$)|GNU\.(volume|dumpdir)|SCHILY\.(realsize|offset|filetype|dir$|splitpath)|SUN\.)/;

/** Attributes that any Linux file system may have. */
const KEPT_ATTRIBUTE = /^SCHILY\.xattr\.(user|trusted|security)\./;
/** What begins the keyword of an attribute; its name follows. */
const ATTRIBUTE_PREFIX = "SCHILY.xattr.";
/**
 * What a layer keeps: ACLs in the kernel's form among it. Not what overlay says of its own directories, which would lead it to other
 * layers, nor what the host's security modules and integrity measures wrote, nor XFS's own form of the ACLs.
 */
const LAYER_ATTRIBUTE =
  /^(user\.(?!overlay\.)|trusted\.(?!overlay\.|SGI_ACL_)|security\.(?!selinux$|ima$|evm$|apparmor$|SMACK64)|system\.posix_acl_(access|default)$)/;
const ACL = /^SCHILY\.acl\.(access|default)$/;
const OTHER_ATTRIBUTE = /^(SCHILY\.xattr\.|LIBARCHIVE\.xattr\.|SCHILY\.acl\.|RHT\.security\.)/;

/**
 * Makes an entry of a header and what stood before it.
 *
 * @param note Takes a sentence about what is not kept.
 * @throws {Failure} `invalid_argument`, naming the entry, when it may not or cannot be kept.
 */
export function parseEntry(
  block: Block,
  before: Prelude,
  form: ArchiveForm,
  note: (text: string) => void,
): Entry {
  const pax = before.pax ?? new Map<string, Uint8Array>();
  const text = (keyword: string): string | undefined => {
    const value = pax.get(keyword);
    return value === undefined || value.length === 0 ? undefined : textOf(value);
  };
  const name = text("GNU.sparse.name") ?? text("path") ?? before.longName ?? block.name;
  const refuse = (why: string): never => {
    throw refusal(`entry ${shown(name)} ${why}`);
  };
  const number = (keyword: string, fallback: number): number => {
    const value = text(keyword);
    if (value === undefined) return fallback;
    const parsed = /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
    return Number.isSafeInteger(parsed) ? parsed : refuse(`has a bad number as its ${keyword}`);
  };
  for (const keyword of pax.keys()) {
    if (REFUSED_KEYWORDS.test(keyword)) {
      refuse(
        `uses ${shown(keyword)}, which is not supported; make the archive with --format=posix`,
      );
    }
  }
  checkCharset(text("hdrcharset"), refuse);
  const kind = kindOf(block.type, name, refuse);
  const linkName = text("linkpath") ?? before.longLink ?? block.linkName;
  const sparse = sparseOf(pax, number, refuse);
  const entry: Entry = {
    kind,
    path: cleanPath(name, "its name", form, refuse),
    linkPath: linkPathOf(kind, linkName, form, refuse),
    mode: block.mode,
    uid: number("uid", block.uid),
    gid: number("gid", block.gid),
    size: form === "layer" && kind !== "file" ? 0 : number("size", block.size),
    mtime: mtimeOf(text("mtime"), block.mtime, refuse),
    major: block.major,
    minor: block.minor,
    sparseBytes: sparse,
    attributes:
      pax.size === 0
        ? []
        : attributesOf(pax, form, refuse, (what) => note(`${what} of ${shown(name)} was not kept`)),
  };
  checkFields(entry, refuse);
  return entry;
}

/** Whether a layer keeps the attribute of this name. */
export function isLayerAttribute(name: string): boolean {
  return LAYER_ATTRIBUTE.test(name);
}

/** The keyword of an attribute: an equals sign, which would end it, is written as GNU tar does. */
export function attributeKeyword(name: string): string {
  return ATTRIBUTE_PREFIX + name.replaceAll("%", "%25").replaceAll("=", "%3D");
}

/** The attribute of a keyword; undefined: it is of something else. */
export function attributeName(keyword: string): string | undefined {
  if (!keyword.startsWith(ATTRIBUTE_PREFIX)) return undefined;
  return keyword.slice(ATTRIBUTE_PREFIX.length).replaceAll("%3D", "=").replaceAll("%25", "%");
}

type Refuse = (why: string) => never;

function kindOf(type: string, name: string, refuse: Refuse): EntryKind {
  const kind = KIND_OF_TYPE[type];
  if (kind === undefined) {
    return refuse(REFUSED_TYPES[type] ?? `is of kind ${shown(type)}, which is not known`);
  }
  // Before there was a kind for directories, a slash at the end of the name was their mark; programs still read it so.
  return kind === "file" && name.endsWith("/") ? "directory" : kind;
}

function checkCharset(charset: string | undefined, refuse: Refuse): void {
  if (charset === undefined || charset === "BINARY" || charset === "ISO-IR 10646 2000 UTF-8")
    return;
  refuse(`has its name in ${shown(charset)}; only UTF-8 and BINARY are supported`);
}

/** @param what "its name" or "the name it links to". */
function cleanPath(name: string, what: string, form: ArchiveForm, refuse: Refuse): string {
  if (name === "") refuse(`has nothing as ${what}`);
  if (name.includes("\0")) refuse(`has a zero byte in ${what}`);
  if (form === "archive" && name.startsWith("/")) {
    refuse(`has an absolute path as ${what}; make the archive with paths relative to its root`);
  }
  const parts: string[] = [];
  for (const part of name.split("/")) {
    if (part === "" || part === ".") continue;
    if (part.length > NAME_LIMIT_BYTES) {
      refuse(`has a part over ${NAME_LIMIT_BYTES} bytes in ${what}`);
    }
    if (part !== "..") parts.push(part);
    else if (form === "archive" || parts.pop() === undefined) refuse(`has ".." in ${what}`);
  }
  const path = parts.join("/");
  if (path.length > PATH_LIMIT_BYTES) refuse(`has more than ${PATH_LIMIT_BYTES} bytes as ${what}`);
  return path;
}

function linkPathOf(kind: EntryKind, linkName: string, form: ArchiveForm, refuse: Refuse): string {
  if (kind === "hard link") {
    const path = cleanPath(linkName, "the name it links to", form, refuse);
    return path === "" ? refuse("is a hard link to the root") : path;
  }
  if (kind !== "symbolic link") return "";
  if (linkName === "") refuse("is a symbolic link to nothing");
  if (linkName.includes("\0")) refuse("is a symbolic link with a zero byte");
  if (linkName.length > PATH_LIMIT_BYTES) refuse("is too long a symbolic link");
  return linkName;
}

function mtimeOf(pax: string | undefined, seconds: number, refuse: Refuse): string {
  if (pax === undefined) return String(seconds);
  const match = /^(-?\d{1,15})(\.\d*)?$/.exec(pax);
  if (match === null) return refuse("has a bad time");
  return `${match[1]}${(match[2] ?? "").slice(0, 10)}`;
}

/** Size with holes of a file in GNU's sparse format 1.0; null for all others. */
function sparseOf(
  pax: PaxRecords,
  number: (keyword: string, fallback: number) => number,
  refuse: Refuse,
): number | null {
  const keywords = ["major", "minor", "name", "realsize"].map((word) => `GNU.sparse.${word}`);
  const found = keywords.filter((keyword) => pax.has(keyword));
  if (found.length === 0) return null;
  const version = `${number("GNU.sparse.major", 0)}.${number("GNU.sparse.minor", 0)}`;
  if (found.length < keywords.length || version !== "1.0") {
    refuse("is a sparse file in a way that is not supported; make it with --sparse-version=1.0");
  }
  return number("GNU.sparse.realsize", 0);
}

function attributesOf(
  pax: PaxRecords,
  form: ArchiveForm,
  refuse: Refuse,
  lost: (what: string) => void,
): Entry["attributes"] {
  const kept: (readonly [string, Uint8Array])[] = [];
  for (const [keyword, value] of pax) {
    if (form === "layer") {
      if (isLayerAttribute(attributeName(keyword) ?? "")) kept.push([keyword, value]);
    } else if (ACL.test(keyword)) kept.push([keyword, numericAcl(value, refuse)]);
    else if (KEPT_ATTRIBUTE.test(keyword)) kept.push([keyword, value]);
    else if (OTHER_ATTRIBUTE.test(keyword)) lost(`attribute ${shown(keyword)}`);
  }
  return kept;
}

/** An ACL as text with numbers for users and groups: whom a name means here, the archive cannot know. */
function numericAcl(value: Uint8Array, refuse: Refuse): Uint8Array {
  const lines = textOf(value)
    .split(/[\n,]/)
    .map((line) => line.trim());
  for (const line of lines) {
    const match = /^(user|group|mask|other|[ugmo]):([^:]*):[-rwxX]{1,4}$/.exec(line);
    if (line === "") continue;
    if (match === null || !/^\d*$/.test(match[2] ?? "")) {
      refuse(
        `has an ACL with ${shown(line)}; only user and group numbers are supported (star's third colon is not)`,
      );
    }
  }
  return value;
}

function checkFields(entry: Entry, refuse: Refuse): void {
  const { kind, path, size, uid, gid, major, minor, sparseBytes } = entry;
  if (path === "" && kind !== "directory") refuse(`is the root, and a ${kind}`);
  if (size < 0) refuse("has a size below zero");
  if (uid < 0 || uid > ID_LIMIT || gid < 0 || gid > ID_LIMIT) refuse("has an owner out of range");
  if (kind !== "file" && size !== 0) refuse(`is a ${kind}, and has content`);
  if (kind !== "file" && sparseBytes !== null) refuse(`is a ${kind}, and sparse`);
  if (major < 0 || minor < 0 || major > 0o7777777 || minor > 0o7777777) {
    refuse("has a device number out of range");
  }
}
