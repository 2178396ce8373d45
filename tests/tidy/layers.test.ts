import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";

/** Folder → what it may import: folders of ours, then Node modules and packages. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  "src/core": [],
  "src/services": ["src/core"],
  "src/sim": ["src/core"],
  // The list of drivers that people read.
  "src/drivers/index.ts": ["src/core", "src/drivers/"],
  "src/drivers/*": ["src/core", "src/drivers/shared"],
  "src/stores/*": ["src/core", "node:"],
  "src/host": ["src/core", "node:", "koffi", "pino", "yaml", "zod"],
  "src/api/*": [
    "src/core",
    "src/services",
    "src/api/shared",
    "node:",
    "fastify",
    "@grpc/grpc-js",
    "@bufbuild/protobuf",
    "zod",
    "prom-client",
  ],
  "src/cli": ["src/core", "src/api/rest/client.ts", "node:", "commander"],
  "src/bin": ["src/", "node:", "commander", "fastify"],
};

/** Folders whose files nobody outside them imports. */
const NEVER_IMPORTED: readonly string[] = ["src/bin"];

/** "src/drivers/btrfs/quota.ts" → the rule for it, and its own folder, which it may always import. */
function ruleFor(file: string): { own: string; allowed: readonly string[] } {
  const [, layer = "", unit = ""] = file.split("/");
  const alone = ALLOWED[file];
  if (alone) return { own: file, allowed: alone };
  const starred = ALLOWED[`src/${layer}/*`];
  if (starred) return { own: `src/${layer}/${unit}`, allowed: starred };
  const allowed = ALLOWED[`src/${layer}`];
  if (!allowed) throw new Error(`${file}: add its folder to ALLOWED`);
  return { own: `src/${layer}`, allowed };
}

it("imports only what its layer allows", () => {
  const sources = readdirSync("src", { recursive: true, encoding: "utf8" })
    .map((path) => join("src", path))
    .filter(
      (path) => path.endsWith(".ts") && !path.endsWith(".test.ts") && !path.endsWith(".d.ts"),
    );
  expect(sources.length).toBeGreaterThan(5);
  const broken = sources.flatMap((file) => {
    const { own, allowed } = ruleFor(file);
    const specifiers = [
      ...readFileSync(file, "utf8").matchAll(/(?:from\s+|import\(\s*|import\s+)"([^"]+)"/g),
    ].map((match) => match[1] ?? "");
    return specifiers
      .map((specifier) => (specifier.startsWith(".") ? join(dirname(file), specifier) : specifier))
      .filter(
        (target) =>
          NEVER_IMPORTED.some((folder) => folder !== own && target.startsWith(`${folder}/`)) ||
          ![own, ...allowed].some(
            (prefix) =>
              target === prefix || target.startsWith(/[:/]$/.test(prefix) ? prefix : `${prefix}/`),
          ),
      )
      .map((target) => `${file} must not import ${target}`);
  });
  expect(broken).toEqual([]);
});
