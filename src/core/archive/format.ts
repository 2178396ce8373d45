import { BLOCK_BYTES, checksum, paddedBytes } from "./block.ts";
import { bytesOf } from "./bytes.ts";
import type { Entry, EntryKind } from "./entry.ts";
import { formatPax } from "./pax.ts";

/** Largest numbers of the fields with seven and with eleven octal digits. */
const SEVEN_DIGITS = 0o7777777;
const ELEVEN_DIGITS = 0o77777777777;
const NAME_BYTES = 100;

const TYPE_OF_KIND: Readonly<Record<EntryKind, string>> = {
  file: "0",
  "hard link": "1",
  "symbolic link": "2",
  "character device": "3",
  "block device": "4",
  directory: "5",
  FIFO: "6",
};

/** Two blocks of zeros, in a record of GNU tar's usual size. */
export const END_MARK: Uint8Array = new Uint8Array(20 * BLOCK_BYTES);

/**
 * The headers of an entry in the one way that we write: POSIX ustar, and an extended header for what does not fit.
 * Whoever unpacks sees nothing of how the entry was written before, so that no two programs can read it differently.
 */
export function formatEntry(entry: Entry): Uint8Array {
  const path =
    entry.path === "" ? "./" : entry.kind === "directory" ? `${entry.path}/` : entry.path;
  const pax = paxOf(entry, path);
  const type = TYPE_OF_KIND[entry.kind];
  const fields = { ...entry, mtime: Number.parseInt(entry.mtime, 10) };
  if (pax.length === 0) return formatBlock({ ...fields, name: path, type });
  const payload = formatPax(pax);
  const headers = new Uint8Array(BLOCK_BYTES + paddedBytes(payload.length) + BLOCK_BYTES);
  const extended = { ...EXTENDED, size: payload.length };
  headers.set(formatBlock(extended), 0);
  headers.set(payload, BLOCK_BYTES);
  headers.set(formatBlock({ ...fields, name: path, type }), headers.length - BLOCK_BYTES);
  return headers;
}

type Fields = Pick<Entry, "linkPath" | "mode" | "uid" | "gid" | "size" | "major" | "minor"> & {
  readonly name: string;
  readonly type: string;
  readonly mtime: number;
};

const EXTENDED: Fields = {
  ...{ name: "PaxHeader", type: "x", linkPath: "", mode: 0o644, uid: 0, gid: 0, size: 0 },
  ...{ mtime: 0, major: 0, minor: 0 },
};

function paxOf(entry: Entry, path: string): (readonly [string, Uint8Array])[] {
  const text: (readonly [string, string])[] = [];
  const { sparseBytes, linkPath, uid, gid, size, mtime } = entry;
  if (sparseBytes !== null) {
    text.push(["GNU.sparse.major", "1"], ["GNU.sparse.minor", "0"], ["GNU.sparse.name", path]);
    text.push(["GNU.sparse.realsize", String(sparseBytes)]);
  } else if (path.length > NAME_BYTES) text.push(["path", path]);
  if (linkPath.length > NAME_BYTES) text.push(["linkpath", linkPath]);
  if (uid > SEVEN_DIGITS) text.push(["uid", String(uid)]);
  if (gid > SEVEN_DIGITS) text.push(["gid", String(gid)]);
  if (size > ELEVEN_DIGITS) text.push(["size", String(size)]);
  if (!/^\d+$/.test(mtime) || Number(mtime) > ELEVEN_DIGITS) text.push(["mtime", mtime]);
  const records = text.map(([keyword, value]) => [keyword, bytesOf(value)] as const);
  return [...records, ...entry.attributes];
}

/** What is too long for its field is cut: the extended header has it whole. */
function formatBlock(fields: Fields): Uint8Array {
  const block = new Uint8Array(BLOCK_BYTES);
  const put = (at: number, text: string): void => block.set(bytesOf(text), at);
  put(0, fields.name.slice(0, NAME_BYTES));
  put(100, octal(fields.mode, 7));
  put(108, octal(fields.uid, 7));
  put(116, octal(fields.gid, 7));
  put(124, octal(fields.size, 11));
  put(136, octal(fields.mtime, 11));
  put(156, fields.type);
  put(157, fields.linkPath.slice(0, NAME_BYTES));
  put(257, "ustar\x0000");
  put(329, octal(fields.major, 7));
  put(337, octal(fields.minor, 7));
  put(148, `${octal(checksum(block), 6)}\0 `);
  return block;
}

function octal(value: number, digits: number): string {
  const largest = 8 ** digits - 1;
  return Math.min(Math.max(value, 0), largest).toString(8).padStart(digits, "0");
}
