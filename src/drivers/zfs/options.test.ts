import { expect, it } from "vitest";
import { parseZfsOptions } from "./options.ts";

it("takes a dataset, or the size of a file", () => {
  expect(parseZfsOptions({ dataset: "tank/lagan" })).toEqual({
    kind: "dataset",
    dataset: "tank/lagan",
  });
  const file = { kind: "file", sizeBytes: 1024 ** 3 };
  expect(parseZfsOptions({ size: "1G" })).toEqual({ ...file, reserved: false });
  expect(parseZfsOptions({ size: "1G", reserve: "true" })).toEqual({ ...file, reserved: true });
});

it.each([
  {},
  { dataset: "tank", size: "1G" },
  { dataset: "/tank" },
  { dataset: "tank@now" },
  { dataset: "tank//x" },
  { dataset: "" },
  { dataset: "-r" },
  { dataset: "t".repeat(200) },
  { disk: "sda" },
  { size: "1G", reserve: "yes" },
  { dataset: "tank", reserve: "true" },
])("refuses %j", (options) => {
  expect(() => parseZfsOptions(options)).toThrow("Cannot");
});

it("refuses a file that is too small", () => {
  expect(() => parseZfsOptions({ size: "64M" })).toThrow("at least 256 MiB");
});
