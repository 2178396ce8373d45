/**
 * `text` as a terminal may be given it: control and invisible characters, which could move the cursor, recolor or
 * reorder what stands around them, are shown as `\u001b`.
 */
export function printable(text: string): string {
  // Nearly all that is shown; looking for the others takes several times as long.
  if (/^[ -~]*$/.test(text)) return text;
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, escaped);
}

/** `value` as JSON that is as harmless: the same characters, escaped as JSON does. */
export function printableJson(value: unknown, indent = 0): string {
  return JSON.stringify(value, null, indent).replace(
    /[\x7f-\x9f]|(?![\n])[\p{Cf}\p{Zl}\p{Zp}]/gu,
    escaped,
  );
}

function escaped(character: string): string {
  return Array.from({ length: character.length }, (_, index) => {
    return `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`;
  }).join("");
}
