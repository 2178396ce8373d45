import { expect, it } from "vitest";
import { parseDirectoryOptions } from "./options.ts";

it("takes no options", () => {
  parseDirectoryOptions({});
  expect(() => parseDirectoryOptions({ size: "1G" })).toThrow("it takes none");
});
