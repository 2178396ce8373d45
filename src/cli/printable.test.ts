import fc from "fast-check";
import { expect, it } from "vitest";
import { printable, printableJson } from "./printable.ts";

const HARMFUL = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;

it("leaves words of any language as they are", () => {
  expect(printable("Überraschung, 数据, naïve 🚢")).toBe("Überraschung, 数据, naïve 🚢");
});

it("shows what a terminal would obey", () => {
  expect(printable("\u001b]0;owned\u0007")).toBe("\\u001b]0;owned\\u0007");
  expect(printable("a\u202eb\u009bc\r\n")).toBe("a\\u202eb\\u009bc\\u000d\\u000a");
});

it("lets nothing through that a terminal would obey, in text and in JSON", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(printable(text)).not.toMatch(HARMFUL);
      const json = printableJson({ [text]: [text] });
      expect(json).not.toMatch(HARMFUL);
      expect(JSON.parse(json)).toEqual({ [text]: [text] });
    }),
  );
});
