import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { VERSION } from "../../src/core/version.ts";

const manifest: {
  version: string;
  dependencies: Record<string, string>;
  optionalDependencies: Record<string, string>;
  devDependencies: Record<string, string>;
} = JSON.parse(readFileSync("package.json", "utf8"));

function filesIn(folder: string, ending: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(ending))
    .map((path) => join(folder, path));
}

it("is of one version", () => {
  expect(VERSION).toBe(manifest.version);
});

it("pins every dependency, and says why each is there", () => {
  const page = readFileSync("docs/dependencies.md", "utf8");
  const all = {
    ...manifest.dependencies,
    ...manifest.optionalDependencies,
    ...manifest.devDependencies,
  };
  expect(Object.keys(all).length).toBeGreaterThan(10);
  for (const [name, version] of Object.entries(all)) {
    expect(version, name).toMatch(/^\d+\.\d+\.\d+$/);
    expect(page, `docs/dependencies.md says why ${name} is there`).toContain(`\`${name}\``);
  }
});

it("keeps source files short enough to read", () => {
  const long = filesIn("src", ".ts").filter(
    (file) => !file.includes("/generated/") && readFileSync(file, "utf8").split("\n").length > 401,
  );
  expect(long).toEqual([]);
});

it("links only to what is there", () => {
  const pages = ["README.md", ...filesIn("docs", ".md")];
  const broken = pages.flatMap((page) =>
    [...readFileSync(page, "utf8").matchAll(/\]\((?!https?:)([^)#]+)/g)]
      .map((match) => join(dirname(page), match[1] ?? ""))
      .filter((target) => !existsSync(target))
      .map((target) => `${page} -> ${target}`),
  );
  expect(broken).toEqual([]);
});

it("names tests in its documents that are there", () => {
  const named = ["README.md", ...filesIn("docs", ".md")].flatMap((page) =>
    [...readFileSync(page, "utf8").matchAll(/`(tests\/[\w/.-]+\.ts)`/g)].map(
      (match) => match[1] ?? "",
    ),
  );
  expect(named.length).toBeGreaterThan(3);
  expect(named.filter((file) => !existsSync(file))).toEqual([]);
});

it("skips no test but by a conformance suite's exemption, which carries a reason", () => {
  const found = [...filesIn("tests", ".ts"), ...filesIn("src", ".test.ts")].filter(
    (file) => !file.startsWith("tests/conformance/") && !file.startsWith("tests/tidy/"),
  );
  const skipping = found.filter((file) =>
    /\b(it|describe|test)\.(skip|only|todo)\b/.test(readFileSync(file, "utf8")),
  );
  expect(skipping).toEqual([]);
});

it("has wire types that are those of its protocols", () => {
  const fresh = mkdtempSync(join(tmpdir(), "lagan-protocols-"));
  try {
    execFileSync("bash", ["tools/generate-protocols", fresh]);
    const contents = (folder: string) =>
      filesIn(folder, ".ts").map((file) => [file.slice(folder.length), readFileSync(file, "utf8")]);
    const kept = contents("src/api/shared/generated");
    expect(kept.length).toBeGreaterThan(1);
    expect(new Map(contents(fresh) as [string, string][])).toEqual(
      new Map(kept as [string, string][]),
    );
  } finally {
    rmSync(fresh, { recursive: true });
  }
});
