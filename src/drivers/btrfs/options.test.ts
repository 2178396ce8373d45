import { expect, it } from "vitest";
import { parseBtrfsOptions } from "./options.ts";

it("takes a device, a size, or neither", () => {
  expect(parseBtrfsOptions({})).toEqual({ kind: "directory" });
  expect(parseBtrfsOptions({ device: "/dev/disk/by-id/x" })).toEqual({
    kind: "device",
    device: "/dev/disk/by-id/x",
  });
  const file = { kind: "file", sizeBytes: 1024 ** 3 };
  expect(parseBtrfsOptions({ size: "1G" })).toEqual({ ...file, reserved: false });
  expect(parseBtrfsOptions({ size: "1G", reserve: "true" })).toEqual({ ...file, reserved: true });
});

it.each([
  [{ device: "/dev/sdb", size: "1G" }, "together"],
  [{ device: "sdb" }, "as a device"],
  [{ device: "/dev/../etc/passwd" }, "as a device"],
  [{ device: "/etc/passwd" }, "as a device"],
  [{ size: "100M" }, "at least 256 MiB"],
  [{ size: "lots" }, "as a size"],
  [{ compress: "zstd" }, "it takes: device, size"],
])("refuses %j", (options, why) => {
  expect(() => parseBtrfsOptions(options as Record<string, string>)).toThrow(why);
});
