import { refusal } from "./block.ts";
import { bytesOf, textOf } from "./bytes.ts";

/** Keyword to value of an extended header; values are bytes. */
export type PaxRecords = ReadonlyMap<string, Uint8Array>;

const SPACE = 0x20;
const NEWLINE = 0x0a;
const EQUALS = 0x3d;
/** Digits of a record's length that are read. */
const LENGTH_DIGITS = 8;

/**
 * Reads the records `LENGTH KEYWORD=VALUE\n` of an extended header; of two with one keyword the later counts.
 *
 * @throws {Failure} `invalid_argument` when they are damaged.
 */
export function parsePax(payload: Uint8Array, at: number): PaxRecords {
  const records = new Map<string, Uint8Array>();
  const damaged = () => refusal(`the extended header at byte ${at} is damaged`);
  for (let start = 0; start < payload.length; ) {
    const head = payload.subarray(start, start + LENGTH_DIGITS + 1);
    const space = head.indexOf(SPACE);
    const digits = textOf(head.subarray(0, Math.max(0, space)));
    if (!/^[1-9]\d*$/.test(digits)) throw damaged();
    const end = start + Number(digits);
    const record = payload.subarray(start + space + 1, end - 1);
    const equals = record.indexOf(EQUALS);
    if (end > payload.length || equals < 1 || payload[end - 1] !== NEWLINE) throw damaged();
    const keyword = textOf(record.subarray(0, equals));
    // Whoever ends it there reads another.
    if (keyword.includes("\0")) throw damaged();
    records.set(keyword, record.subarray(equals + 1));
    start = end;
  }
  return records;
}

/** Writes records as `parsePax` reads them. */
export function formatPax(records: Iterable<readonly [string, Uint8Array]>): Uint8Array {
  const parts: Uint8Array[] = [];
  let total = 0;
  for (const [keyword, value] of records) {
    const rest = keyword.length + value.length + 3;
    let length = rest + String(rest).length;
    if (String(length).length > String(rest).length) length = rest + String(length).length;
    for (const part of [bytesOf(`${length} ${keyword}=`), value, bytesOf("\n")]) {
      parts.push(part);
      total += part.length;
    }
  }
  const payload = new Uint8Array(total);
  let at = 0;
  for (const part of parts) {
    payload.set(part, at);
    at += part.length;
  }
  return payload;
}
