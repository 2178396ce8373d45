import { expect, it } from "vitest";
import { parsePoolName, parseVolumeName, quote } from "./name.ts";

const longest = "a".repeat(128);

it.each(["ab", "data", "A.b_c-9", "9x", longest, "a..", "0123456789abcdef".repeat(4)])(
  "takes %s as a volume name",
  (text) => {
    expect(parseVolumeName(text)).toBe(text);
  },
);

it.each([
  "",
  "a",
  "..",
  "../x",
  ".a",
  "-a",
  "_a",
  "a/b",
  "data@1",
  "a b",
  "a\nb",
  "a\0b",
  "dаta",
  "é1",
  `${longest}a`,
  "ab\n",
])("refuses %j as a volume name", (text) => {
  expect(() => parseVolumeName(text)).toThrow(
    expect.objectContaining({ code: "invalid_argument" }),
  );
});

it.each(["", "-", "a-", "A", "a_b", "a".repeat(64)])("refuses %j as a pool name", (text) => {
  expect(() => parsePoolName(text)).toThrow(expect.objectContaining({ code: "invalid_argument" }));
});

it("quotes what a terminal must not see raw", () => {
  expect(quote("a\u001b[2J\u202eb")).toBe('"a\\u001b[2J\\u202eb"');
});
