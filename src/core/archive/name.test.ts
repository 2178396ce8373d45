import fc from "fast-check";
import { expect, it } from "vitest";
import { bytesOf, shown, textOf } from "./bytes.ts";
import { formatName } from "./name.ts";

const latin1 = (text: string): string => textOf(new TextEncoder().encode(text));

it("names that are UTF-8 are shown as they are", () => {
  for (const name of ["data", "grüße", "e\u0301", "🚢 ship", "a b\nc"]) {
    expect(formatName(latin1(name))).toBe(name);
  }
});

it("other bytes and percent signs are escaped", () => {
  expect(formatName("100%")).toBe("100%25");
  expect(formatName("bad\xff\xfename")).toBe("bad%FF%FEname");
  expect(formatName(`${latin1("grü")}\xc3`)).toBe("grü%C3");
  expect(formatName("%FF")).toBe("%25FF");
  expect(formatName("\xed\xa0\x80")).toBe("%ED%A0%80");
});

it("any two names look different, and can be told back", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
      const back = formatName(textOf(bytes)).replace(/%([0-9A-F]{2})|[^%]+/g, (part, code) =>
        code === undefined ? latin1(part) : String.fromCharCode(Number.parseInt(code, 16)),
      );
      expect(bytesOf(back)).toEqual(bytes);
    }),
  );
});

it("names in messages cannot reach the terminal", () => {
  expect(shown(latin1("grüße"))).toBe('"grüße"');
  expect(shown("a\x1b[2J")).toBe('"a\\033[2J"');
  expect(shown(latin1("\u202eevil"))).toBe('"\\342\\200\\256evil"');
  expect(shown('say "x"')).toBe('"say \\042x\\042"');
  expect(shown("x".repeat(5000)).length).toBeLessThan(210);
});
