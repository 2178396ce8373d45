import { expect, it } from "vitest";
import { parseDu } from "./du.ts";

// Output of GNU coreutils 9.1.
it("reads the figure", () => {
  expect(parseDu("d", { code: 0, stdout: "4096\td\n", stderr: "" })).toBe(4096);
});

it("counts files that vanish meanwhile as nothing", () => {
  const stderr = "du: cannot access 'd/a': No such file or directory\n";
  expect(parseDu("d", { code: 1, stdout: "8192\td\n", stderr })).toBe(8192);
});

it("fails when the tree is absent, or a part cannot be read", () => {
  const absent = "du: cannot access 'd': No such file or directory\n";
  expect(() => parseDu("d", { code: 1, stdout: "", stderr: absent })).toThrow("Cannot count");
  const stderr = "du: cannot read directory 'd/x': Input/output error\n";
  expect(() => parseDu("d", { code: 1, stdout: "4096\td\n", stderr })).toThrow("Cannot count");
});
