import { Failure } from "../failure.ts";
import { textOf } from "./bytes.ts";

/** Headers and content come in blocks of so many bytes. */
export const BLOCK_BYTES = 512;

/** A header block as it stands (pax(1), "ustar Interchange Format", and GNU tar's and star's ways with it). */
export interface Block {
  /** The name as bytes, of name and prefix. */
  readonly name: string;
  readonly linkName: string;
  /** The character of the kind: `0` a file, `5` a directory, `x` an extended header… */
  readonly type: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes that follow, without padding. */
  readonly size: number;
  /** Seconds. */
  readonly mtime: number;
  readonly major: number;
  readonly minor: number;
}

/** What is wrong with the archive, as a failure. @param why Whole, with the entry where there is one. */
export function refusal(why: string): Failure {
  return new Failure("invalid_argument", `Cannot unpack the archive: ${why}`);
}

/** Bytes up to the next whole block. */
export function paddedBytes(size: number): number {
  return Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
}

/** True when every byte is zero. */
export function isZero(bytes: Uint8Array): boolean {
  for (let at = 0; at < bytes.length; at++) if (bytes[at] !== 0) return false;
  return true;
}

/**
 * Reads a header block.
 *
 * @param at Where it begins in the archive, for messages.
 * @param form Whether compressed ones are read as well, for messages.
 * @throws {Failure} `invalid_argument` when it is none, or a field is not a number.
 */
export function parseBlock(
  block: Uint8Array,
  at: number,
  form: "archive" | "layer" = "archive",
): Block {
  const damaged = (): Failure =>
    refusal(`it is damaged at byte ${at}: there should be the header of an entry`);
  const number = (start: number, end: number): number => {
    const value = parseNumber(block.subarray(start, end));
    if (value === undefined) throw damaged();
    return value;
  };
  if (parseNumber(block.subarray(148, 156)) !== checksum(block)) {
    if (at > 0) throw damaged();
    throw refusal(
      form === "archive"
        ? "it is neither a tar nor one compressed by zstd or gzip"
        : "it is no plain tar; a compressed layer is to be unpacked first",
    );
  }
  const magic = textOf(block.subarray(257, 265));
  return {
    name: nameOf(block, magic),
    linkName: cString(block.subarray(157, 257)),
    type: String.fromCharCode(block[156] ?? 0),
    mode: number(100, 108) & 0o7777,
    uid: number(108, 116),
    gid: number(116, 124),
    size: number(124, 136),
    mtime: number(136, 148),
    major: magic.startsWith("ustar") ? number(329, 337) : 0,
    minor: magic.startsWith("ustar") ? number(337, 345) : 0,
  };
}

function nameOf(block: Uint8Array, magic: string): string {
  const name = cString(block.subarray(0, 100));
  // GNU's own format and the one before ustar have other things, or nothing, where the prefix is.
  if (magic !== "ustar\x0000") return name;
  // star has times behind a shorter prefix, and says so at the end of the block.
  const end = textOf(block.subarray(508, 512)) === "tar\0" ? 476 : 500;
  const prefix = cString(block.subarray(345, end));
  return prefix === "" ? name : `${prefix}/${name}`;
}

function cString(field: Uint8Array): string {
  const end = field.indexOf(0);
  return textOf(end < 0 ? field : field.subarray(0, end));
}

const SPACE = 0x20;
const ZERO_DIGIT = 0x30;
const SEVEN_DIGIT = 0x37;

/** Octal digits between spaces and zeros, or GNU's binary number when the first bit is set. Empty is 0. */
function parseNumber(field: Uint8Array): number | undefined {
  const [first = 0] = field;
  if (first >= 0x80) return parseBinary(field);
  let at = 0;
  while (field[at] === SPACE) at++;
  let value = 0;
  for (; at < field.length; at++) {
    const digit = field[at] ?? 0;
    if (digit < ZERO_DIGIT || digit > SEVEN_DIGIT) break;
    value = value * 8 + digit - ZERO_DIGIT;
  }
  for (; at < field.length; at++) if (field[at] !== SPACE && field[at] !== 0) return undefined;
  return value;
}

/** Two's complement, most significant byte first; the first bit only marks it. */
function parseBinary(field: Uint8Array): number | undefined {
  const [first = 0] = field;
  // 0x80 begins a positive number, 0xff a negative one; nothing that fits begins otherwise.
  if (first !== 0x80 && first !== 0xff) return undefined;
  let value = first === 0xff ? -1 : 0;
  for (const byte of field.subarray(1)) value = value * 256 + byte;
  return Number.isSafeInteger(value) ? value : undefined;
}

/** Sum of the block's bytes, its own field counted as spaces. */
export function checksum(block: Uint8Array): number {
  let sum = 8 * SPACE;
  for (let at = 0; at < BLOCK_BYTES; at++) sum += block[at] ?? 0;
  for (let at = 148; at < 156; at++) sum -= block[at] ?? 0;
  return sum;
}
