import { decodeUtf8 } from "./bytes.ts";

/** Longest sequence of bytes that UTF-8 has for one character. */
const SEQUENCE_BYTES = 4;

/**
 * A name's bytes (one character each, 0 to 255) as text: UTF-8, with a percent sign and every byte that is not UTF-8 as `%` and
 * two hex digits. Different names give different texts.
 */
export function formatName(name: string): string {
  if (/^[^%\x80-\xff]*$/.test(name)) return name;
  const escaped = name.replaceAll("%", "%25");
  const whole = decodeUtf8(escaped);
  if (whole !== undefined) return whole;
  let text = "";
  for (let at = 0; at < escaped.length; ) {
    const length = sequenceAt(escaped, at);
    const piece = escaped.slice(at, at + Math.max(length, 1));
    text += length === 0 ? `%${hex(piece)}` : decodeUtf8(piece);
    at += piece.length;
  }
  return text;
}

/** Bytes of the character that begins at `at`; 0: none does. */
function sequenceAt(name: string, at: number): number {
  for (let length = 1; length <= SEQUENCE_BYTES && at + length <= name.length; length++) {
    if (decodeUtf8(name.slice(at, at + length)) !== undefined) return length;
  }
  return 0;
}

function hex(byte: string): string {
  return byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0");
}
