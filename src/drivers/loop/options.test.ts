import { describe, expect, it } from "vitest";
import { parseLoopOptions } from "./options.ts";

const GIB = 1024 ** 3;

describe("parseLoopOptions", () => {
  it("makes ext4 images of 10 GiB unless told", () => {
    expect(parseLoopOptions({})).toEqual({ type: "ext4", sizeBytes: 10 * GIB });
    expect(parseLoopOptions({ fs: "xfs", size: "1G" })).toEqual({ type: "xfs", sizeBytes: GIB });
    expect(parseLoopOptions({ size: "4M" })).toEqual({ type: "ext4", sizeBytes: 4 * 1024 ** 2 });
  });

  it("refuses what no image can be, and says what can", () => {
    for (const [options, code, text] of [
      [{ fs: "btrfs" }, "invalid_argument", "driver btrfs"],
      [{ fs: "ntfs" }, "invalid_argument", "ext4, xfs"],
      [{ fs: "constructor" }, "invalid_argument", "ext4, xfs"],
      [{ size: "3M" }, "out_of_range", "4 MiB"],
      [{ fs: "xfs", size: "299M" }, "out_of_range", "300 MiB"],
      [{ device: "/dev/sdb" }, "invalid_argument", "fs, size"],
    ] as const) {
      expect(() => parseLoopOptions(options)).toThrowError(
        expect.objectContaining({ code, message: expect.stringContaining(text) }),
      );
    }
  });
});
