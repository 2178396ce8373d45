/*
 * Names in archives are bytes. Here they are strings with one character (0 to 255) for each byte, so that they can be
 * compared, kept in sets and cut, and never change their form on the way.
 */

/** Longest name in a message, in characters. */
const SHOWN_LIMIT = 200;
/** Bytes that one call turns into text: arguments lie on the stack. */
const PIECE_BYTES = 8192;
/** So few are faster one by one. */
const SHORT_BYTES = 16;
/** What may stand in a message as it is. */
const PRINTABLE = /^[^\p{C}\p{Zl}\p{Zp}"\\]*$/u;

/** One character for each byte. */
export function textOf(bytes: Uint8Array): string {
  if (bytes.length <= SHORT_BYTES) {
    let short = "";
    for (let at = 0; at < bytes.length; at++) short += String.fromCharCode(bytes[at] ?? 0);
    return short;
  }
  if (bytes.length <= PIECE_BYTES) return String.fromCharCode(...bytes);
  let text = "";
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    text += String.fromCharCode(...bytes.subarray(at, at + PIECE_BYTES));
  }
  return text;
}

/** The bytes of a text with one character for each. */
export function bytesOf(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

/** A name for people, in quotes: as it is where it is printable UTF-8, else with octal escapes as tar writes them; cut when long. */
export function shown(name: string): string {
  const decoded = decodeUtf8(name);
  const text =
    decoded !== undefined && PRINTABLE.test(decoded)
      ? decoded
      : name.replace(/[^ -~]|["\\]/g, octal);
  const points = Array.from(text);
  return points.length <= SHOWN_LIMIT ? `"${text}"` : `"${points.slice(0, SHOWN_LIMIT).join("")}…"`;
}

/** Text of bytes that are UTF-8; undefined: they are not. */
export function decodeUtf8(name: string): string | undefined {
  try {
    return decodeURIComponent(
      // The percent sign itself is among what is escaped.
      name.replace(/[^ -$&-~]/g, (byte) => `%${byte.charCodeAt(0).toString(16).padStart(2, "0")}`),
    );
  } catch {
    return undefined;
  }
}

function octal(byte: string): string {
  return `\\${byte.charCodeAt(0).toString(8).padStart(3, "0")}`;
}
