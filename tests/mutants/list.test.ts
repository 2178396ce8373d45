import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { MUTANTS } from "./list.ts";

it("finds the place of every planted bug exactly once", () => {
  expect(MUTANTS.length).toBeGreaterThanOrEqual(20);
  expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length);
  const lost = MUTANTS.filter(
    ({ file, before }) => readFileSync(file, "utf8").split(before).length !== 2,
  );
  expect(lost.map(({ name, file }) => `${name}: its old text is not once in ${file}`)).toEqual([]);
});
