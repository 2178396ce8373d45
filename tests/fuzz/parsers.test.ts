import fc from "fast-check";
import { it } from "vitest";
import { PROPERTIES } from "./parsers.ts";

/* What the fuzzer (npm run fuzz) holds to for as long as asked, for a moment. */

it.each(Object.keys(PROPERTIES))("%s", (name) => {
  const property = PROPERTIES[name];
  if (property !== undefined) fc.assert(property as fc.IProperty<unknown>, { numRuns: 500 });
});
