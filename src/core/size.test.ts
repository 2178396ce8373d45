import fc from "fast-check";
import { expect, it } from "vitest";
import { formatBytes, parseSizeBytes } from "./size.ts";

const GIB = 1024 ** 3;

it.each([
  ["10G", 10 * GIB],
  ["10g", 10 * GIB],
  ["10Gi", 10 * GIB],
  ["10GiB", 10 * GIB],
  ["10gib", 10 * GIB],
  ["10GB", 10 * 1000 ** 3],
  ["500m", 500 * 1024 ** 2],
  ["1.5G", 1.5 * GIB],
  ["1048576", 1024 ** 2],
  ["1048576B", 1024 ** 2],
  ["7P", 7 * 1024 ** 5],
  ["4.02P", 4_526_117_625_507_349],
])("reads %s as %d bytes", (text, bytes) => {
  expect(parseSizeBytes(text)).toBe(bytes);
});

it.each([
  "",
  "G",
  "10 GB",
  " 10G",
  "10G ",
  "-1",
  "+1G",
  "1e9",
  "0x10",
  "banana",
  "10GX",
  "1.G",
  "10iB",
  "１０G",
  "10G\n",
])("refuses %j as invalid", (text) => {
  expect(() => parseSizeBytes(text)).toThrow(expect.objectContaining({ code: "invalid_argument" }));
});

it.each(["0", "0G", "1", "1023K", "8P", "9999P"])("refuses %j as out of range", (text) => {
  expect(() => parseSizeBytes(text)).toThrow(expect.objectContaining({ code: "out_of_range" }));
});

it("never answers with anything but a whole number of bytes or a Failure", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        expect(Number.isSafeInteger(parseSizeBytes(text))).toBe(true);
      } catch (thrown) {
        expect(thrown).toMatchObject({ name: "Failure" });
      }
    }),
  );
});

it.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1024, "1 KiB"],
  [1536, "1.5 KiB"],
  [100 * 1024 ** 2, "100 MiB"],
  [1024 ** 3 - 1, "1 GiB"],
])("shows %d as %s", (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});
