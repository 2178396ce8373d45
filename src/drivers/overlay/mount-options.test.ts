import { expect, it } from "vitest";
import { readOnlyMount, writableMount } from "./mount-options.ts";

const upper = { content: "/p/l/3/d", work: "/p/l/3/w" };

it("a layer on nothing is its own directory", () => {
  expect(writableMount(upper, [])).toEqual({
    type: "bind",
    source: "/p/l/3/d",
    options: ["rw"],
  });
  expect(readOnlyMount(["/p/l/1/d"])).toEqual({
    type: "bind",
    source: "/p/l/1/d",
    options: ["ro"],
  });
});

it("a layer on others is an overlay, nearest ancestor first", () => {
  const { type, options } = writableMount(upper, ["/p/l/2/d", "/p/l/1/d"]);
  expect(type).toBe("overlay");
  expect(options.slice(0, 3)).toEqual([
    "lowerdir=/p/l/2/d:/p/l/1/d",
    "upperdir=/p/l/3/d",
    "workdir=/p/l/3/w",
  ]);
  const read = readOnlyMount(["/p/l/2/d", "/p/l/1/d"]);
  expect(read.options).toContain("ro");
  expect(read.options.join()).not.toContain("upperdir");
});
