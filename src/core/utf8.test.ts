import fc from "fast-check";
import { expect, it } from "vitest";
import { compareUtf8, isUtf8, prefixEnd, utf8SizeBytes } from "./utf8.ts";

const text = fc.string({
  unit: fc.constantFrom(
    "",
    "a",
    "\u007f",
    "\u0080",
    "\u07ff",
    "\u0800",
    "\ud7ff",
    "\ue000",
    "\uffff",
    "\u{10000}",
    "\u{10ffff}",
  ),
  maxLength: 4,
});

it("counts the bytes that an encoder makes", () => {
  fc.assert(fc.property(text, (t) => utf8SizeBytes(t) === Buffer.byteLength(t)));
});

it("orders texts as their bytes", () => {
  fc.assert(
    fc.property(text, text, (a, b) => {
      expect(Math.sign(compareUtf8(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
    }),
  );
});

it("ends a prefix right after the texts that start with it", () => {
  fc.assert(
    fc.property(text, text, (prefix, t) => {
      const end = prefixEnd(prefix);
      const inRange = compareUtf8(t, prefix) >= 0 && (end === undefined || compareUtf8(t, end) < 0);
      expect(inRange).toBe(t.startsWith(prefix));
    }),
  );
});

it("knows text that UTF-8 cannot hold", () => {
  fc.assert(fc.property(text, isUtf8));
  expect(["\ud800", "a\udc00", "\udc00\ud800", "\ud800a"].map(isUtf8)).toEqual([
    false,
    false,
    false,
    false,
  ]);
});
