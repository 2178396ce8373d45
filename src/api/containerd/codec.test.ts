import { expect, it } from "vitest";
import { formatMount } from "./codec.ts";

it("an overlay to be read has no option that containerd's own would not have", () => {
  const options = ["lowerdir=/l/b/d:/l/a/d", "ro", "redirect_dir=follow", "metacopy=off"];
  expect(formatMount({ type: "overlay", source: "overlay", options })).toEqual({
    ...{ type: "overlay", source: "overlay", target: "" },
    options: ["index=off", "lowerdir=/l/b/d:/l/a/d"],
  });
});

it("a bind says whether it may be written, and that it brings what is mounted below", () => {
  for (const [options, said] of [
    [["ro"], "ro"],
    [["rw"], "rw"],
    [[], "rw"],
  ] as const) {
    expect(formatMount({ type: "bind", source: "/l/a", options })).toMatchObject({
      options: [said, "rbind"],
    });
  }
});

it("what one mount does not reach is refused", () => {
  expect(() => formatMount({ type: "bind", source: "/m", options: ["ro"], root: "data" })).toThrow(
    /use a pool of driver overlay/,
  );
});
