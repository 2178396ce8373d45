import { expect, it } from "vitest";
import { parseZfsOptions } from "./options.ts";

it("takes a dataset, or the size of a file", () => {
  expect(parseZfsOptions({ dataset: "tank/lagan" })).toEqual({
    kind: "dataset",
    dataset: "tank/lagan",
  });
  expect(parseZfsOptions({ size: "1G" })).toEqual({ kind: "file", sizeBytes: 1024 ** 3 });
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
])("refuses %j", (options) => {
  expect(() => parseZfsOptions(options)).toThrow("Cannot");
});

it("refuses a file that is too small", () => {
  expect(() => parseZfsOptions({ size: "64M" })).toThrow("at least 256 MiB");
});
