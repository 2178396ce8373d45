import { expect, it } from "vitest";
import { parseMkfs } from "./format.ts";

// Output of btrfs-progs 6.2.
it("says why mkfs.btrfs refused", () => {
  const used =
    "ERROR: /dev/loop1 appears to contain an existing filesystem (ext4)\nERROR: use the -f option to force overwrite of /dev/loop1\n";
  expect(parseMkfs(used)).toMatch(/^there is something else on it/);
  expect(parseMkfs("ERROR: /dev/loop1 is mounted\n")).toBe("it is mounted; unmount it first");
  const small = "ERROR: 'x' is too small to make a usable filesystem\nERROR: minimum size for each";
  expect(parseMkfs(small)).toBe("'x' is too small to make a usable filesystem");
  expect(parseMkfs("")).toBe("mkfs.btrfs failed");
});
