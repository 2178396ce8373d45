import fc from "fast-check";

/** What parsers trip over: controls, look-alikes, halves of pairs, the words of objects, numbers at the edges. */
const ODD = fc.constantFrom(
  ...["", " ", "\0", "\n", "\t", "\u001b[2J", "\u007f", "\u009b", "\u00a0", "\u200b", "\u202e"],
  ...["\ufeff", "\ud800", "\udc00", "\u{10ffff}", "\uff11", "\u0661", "\u0430", "\u2028"],
  ...["__proto__", "constructor", "toString", "hasOwnProperty", "prototype", "null", "NaN"],
  ...[
    "..",
    "/",
    "\\",
    "@",
    "%2e",
    "-",
    "--",
    "=",
    ":",
    ",",
    '"',
    "'",
    "{",
    "}",
    "[",
    "]",
    "{{",
    "}}",
  ],
  ...["0", "-1", "1e99", "0x10", "9007199254740991", "9007199254740993", "1.5", "0.1"],
);

/** Text of any kind, odd pieces more often than chance would have it. */
export const anyText: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string(),
  fc
    .array(fc.oneof(ODD, fc.string({ maxLength: 4 })), { maxLength: 8 })
    .map((parts) => parts.join("")),
);

/** One of `words`, or one with a piece put in or taken out, or any text. */
export function near(...words: readonly string[]): fc.Arbitrary<string> {
  const word = fc.constantFrom(...words);
  const changed = fc.tuple(word, fc.nat(), fc.nat(3), ODD).map(([text, at, cut, odd]) => {
    const index = at % (text.length + 1);
    return text.slice(0, index) + odd + text.slice(index + cut);
  });
  return fc.oneof(word, changed, anyText);
}

/** Any JSON value as text, the same with one piece changed, or any text. */
export function nearJson(value: fc.Arbitrary<unknown>): fc.Arbitrary<string> {
  const text = value.map((given) => JSON.stringify(given) ?? "null");
  const changed = fc.tuple(text, fc.nat(), fc.nat(3), ODD).map(([whole, at, cut, odd]) => {
    const index = at % (whole.length + 1);
    return whole.slice(0, index) + odd + whole.slice(index + cut);
  });
  return fc.oneof(text, changed, fc.json(), anyText);
}

/** An object with keys like `words`; its values by `value`. `__proto__` is a key like any other. */
export function objectNear<T>(
  words: readonly string[],
  value: fc.Arbitrary<T>,
): fc.Arbitrary<Record<string, T>> {
  return fc
    .array(fc.tuple(near(...words), value), { maxLength: 6 })
    .map((entries) => Object.fromEntries(entries));
}
