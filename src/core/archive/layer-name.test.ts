import { expect, it } from "vitest";
import { parseLayerName } from "./layer-name.ts";

it.each([
  ["", { says: "root" }],
  ["a", { says: "entry", directory: "", name: "a" }],
  ["a/b/c", { says: "entry", directory: "a/b", name: "c" }],
  ["a/x.wh.y", { says: "entry", directory: "a", name: "x.wh.y" }],
  [".wh.a", { says: "whiteout", directory: "", name: "a" }],
  ["a/.wh.b c", { says: "whiteout", directory: "a", name: "b c" }],
  ["a/.wh.....", { says: "whiteout", directory: "a", name: "...." }],
  ["a/.wh..wh..opq", { says: "opaque", directory: "a" }],
  [".wh..wh..opq", { says: "opaque", directory: "" }],
  [".wh..wh.plnk", { says: "nothing" }],
  [".wh..wh.plnk/1.2", { says: "nothing" }],
  ["a/.wh..wh.orph/b", { says: "nothing" }],
])("reads %j", (path, name) => {
  expect(parseLayerName(path)).toEqual(name);
});

it.each([".wh.", "a/.wh..", "a/.wh...", ".wh.a/b", "a/.wh.b/c/d"])("refuses %j", (path) => {
  expect(() => parseLayerName(path)).toThrowError(
    expect.objectContaining({ code: "invalid_argument" }),
  );
});
