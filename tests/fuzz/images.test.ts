import fc from "fast-check";
import { it } from "vitest";
import { IMAGE_PROPERTIES } from "./images.ts";

/* What comes from strangers is tried more than the other parsers: 100,000 cases in all. */

const RUNS = Math.ceil(100_000 / Object.keys(IMAGE_PROPERTIES).length);

it.each(Object.keys(IMAGE_PROPERTIES))("%s", (name) => {
  const property = IMAGE_PROPERTIES[name];
  if (property !== undefined) fc.assert(property as fc.IProperty<unknown>, { numRuns: RUNS });
});
