import { expect, it } from "vitest";
import { parseOverlayOptions } from "./options.ts";

it("takes no options", () => {
  parseOverlayOptions({});
  expect(() => parseOverlayOptions({ size: "1G" })).toThrow("it takes none");
});
