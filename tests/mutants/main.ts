import { spawnSync } from "node:child_process";
import {
  cpSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { MUTANTS } from "./list.ts";
import type { Mutant } from "./mutant.ts";

/*
 * npm run mutants              every planted bug
 * npm run mutants -- NAME...   some of them
 *
 * Each is planted in a copy of the tree, and must make the tests fail. Exits with 1 when one survives.
 */

const COPIED = [
  ...["src", "tests", "docs", "package.json", "vitest.config.ts"],
  ...[
    "tsconfig.json",
    "tsconfig.base.json",
    "tsconfig.pure.json",
    "tsconfig.shell.json",
    "tsconfig.tests.json",
  ],
];
const TIMEOUT_MS = 900_000;
const SCENARIOS = ["tests/scenario", "tests/simulation"];

const say = (line: string): void => {
  writeSync(1, `${line}\n`);
};

type Planted = Pick<Mutant, "file" | "before" | "after" | "tests">;

/** A change that changes nothing: with it the tests must pass, or they say nothing of the others. */
const CONTROL: Planted = {
  file: "src/services/volumes.ts",
  before: "export class Volumes {",
  after: "export class Volumes  {",
};

/** How the tests with the bug in them ended. Tests that hang have noticed it as well. */
function isKilled({ file, before, after, tests = SCENARIOS }: Planted): boolean {
  const copy = mkdtempSync(join(tmpdir(), "lagan-mutant-"));
  try {
    for (const path of COPIED) cpSync(path, join(copy, path), { recursive: true });
    symlinkSync(resolve("node_modules"), join(copy, "node_modules"));
    const text = readFileSync(file, "utf8");
    if (text.split(before).length !== 2) throw new Error(`${file} does not have its old text once`);
    writeFileSync(
      join(copy, file),
      text.replace(before, () => after),
    );
    const vitest = join(copy, "node_modules/vitest/vitest.mjs");
    const { status } = spawnSync(process.execPath, [vitest, "run", "--bail=1", ...tests], {
      cwd: copy,
      timeout: TIMEOUT_MS,
      stdio: "ignore",
    });
    return status !== 0;
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

const chosen = process.argv.slice(2);
const all = MUTANTS.filter(({ name }) => chosen.length === 0 || chosen.includes(name));
const survivors: string[] = [];
if (isKilled(CONTROL)) throw new Error("The tests fail without any planted bug: see npm test");
for (const mutant of all) {
  const began = performance.now();
  const killed = isKilled(mutant);
  if (!killed) survivors.push(mutant.name);
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  say(`${killed ? "killed  " : "SURVIVED"} ${mutant.name} (${seconds} s): ${mutant.breaks}`);
}
say(`${all.length - survivors.length} of ${all.length} killed`);
if (survivors.length > 0) say(`survived: ${survivors.join(", ")}`);
process.exitCode = survivors.length > 0 || all.length === 0 ? 1 : 0;
