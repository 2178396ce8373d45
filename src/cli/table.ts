import { printable } from "./printable.ts";

/** Spaces between two columns. */
const GAP = 3;
/** No column is cut to less than this. */
const NARROWEST = 8;

/**
 * Rows under a head, in columns. When they are wider than `columns`, the longest column is cut, with `…` at its end.
 *
 * @param columns Width of the terminal; undefined: nothing is cut.
 */
export function formatTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  columns: number | undefined,
): string {
  const lines = [head, ...rows].map((row) => row.map(printable));
  const widths = head.map((_, index) => {
    return Math.max(...lines.map((line) => widthOf(line[index] ?? "")));
  });
  if (columns !== undefined) narrow(widths, columns - GAP * (widths.length - 1));
  const text = lines.map((line) =>
    line
      .map((cell, index) => fitted(cell, widths[index] ?? 0))
      .join(" ".repeat(GAP))
      .trimEnd(),
  );
  return `${text.join("\n")}\n`;
}

function narrow(widths: number[], room: number): void {
  for (let over = sum(widths) - room; over > 0; over = sum(widths) - room) {
    const longest = widths.indexOf(Math.max(...widths));
    const width = widths[longest] ?? 0;
    if (width <= NARROWEST) return;
    const others = Math.max(NARROWEST, ...widths.filter((_, index) => index !== longest));
    // Down to the next longest at once, then one by one, so that equal columns are cut alike.
    widths[longest] = width > others ? Math.max(others, width - over) : width - 1;
  }
}

function fitted(cell: string, width: number): string {
  const missing = width - widthOf(cell);
  if (missing >= 0) return cell + " ".repeat(missing);
  let kept = "";
  for (const character of cell) {
    if (widthOf(kept + character) > width - 1) break;
    kept += character;
  }
  return `${kept}…${" ".repeat(width - 1 - widthOf(kept))}`;
}

/** Cells of a terminal that the text takes. */
function widthOf(text: string): number {
  // Nearly all that is shown; the rest takes twenty times as long.
  if (PLAIN.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += WIDE.test(character) ? 2 : MARK.test(character) ? 0 : 1;
  return width;
}

const PLAIN = /^[ -~]*$/;
const MARK = /^\p{Mn}$/u;
const WIDE =
  /^[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}\p{Emoji_Presentation}]$/u;

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
