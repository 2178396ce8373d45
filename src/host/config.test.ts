import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parseConfig, readConfig } from "./config.ts";

it("is all defaults when empty", () => {
  expect(parseConfig("")).toEqual({
    stateDir: "/var/lib/lagan",
    runDir: "/run/lagan",
    dockerPluginDir: "/run/docker/plugins",
    csi: { node: undefined, maxVolumes: 0, health: false, expandBy: "controller" },
    defaultPool: "default",
    pools: [{ name: "default", driver: "auto", options: {} }],
    layersPool: null,
    profiles: new Map(),
    trashKeepMs: 86_400_000,
    engines: ["unix:///var/run/docker.sock"],
    logLevel: "info",
  });
});

it("reads the example of docs/configuration.md", () => {
  const [, example = ""] =
    /```yaml\n([\s\S]*?)```/.exec(readFileSync("docs/configuration.md", "utf8")) ?? [];
  const config = parseConfig(example);
  expect(config.pools.map(({ name, driver }) => `${name}: ${driver}`)).toEqual([
    "default: auto",
    "fast: btrfs",
    "bulk: directory",
    "images: loop",
    "layers: overlay",
  ]);
  expect(config.pools[1]?.options).toEqual({ device: "/dev/nvme1n1" });
  expect([...config.profiles]).toEqual([
    [
      "db",
      { sizeBytes: 10 * 1024 ** 3, uid: 999, gid: 999, mode: 0o700, labels: { kind: "database" } },
    ],
    ["hourly", { everyMs: 3_600_000, keep: { daily: 7, hourly: 24 }, labels: {} }],
  ]);
});

it("adds the default pool to pools that are named", () => {
  expect(parseConfig("pools: { fast: { driver: btrfs } }").pools.map(({ name }) => name)).toEqual([
    "default",
    "fast",
  ]);
});

it.each([
  ["trash: { keep: 0 }", 0],
  ["trash: { keep: 7d }", 7 * 86_400_000],
  ["trash: { keep: forever }", null],
])("reads %s", (text, keepMs) => {
  expect(parseConfig(text).trashKeepMs).toBe(keepMs);
});

it.each([
  ["a: [1", "not YAML"],
  ["stateDir: 1", "stateDir"],
  ["stateDir: var/lib", "stateDir: must be an absolute path"],
  ["statedir: /x", "statedir"],
  ["- 1", "the file"],
  ["pools: { UP: {} }", "pool name"],
  ["pools: { a: { driver: [1] } }", "pools.a.driver"],
  ["pools: { a: { size: [1] } }", "pools.a"],
  ["defaultPool: fast", 'there is no pool "fast"'],
  ["profiles: { db: { sise: 1G } }", "unknown"],
  ["profiles: { db: { profile: x } }", "cannot have a profile"],
  ["trash: { keep: soon }", "as a duration"],
  ["trash: { keep: -1h }", "as a duration"],
  ["engines: [tcp://1.2.3.4]", "engines.0"],
  ["log: { level: loud }", "log.level"],
  ["log: { level: info }\nlog: { level: info }", "not YAML"],
  ["pools: { __proto__: { driver: btrfs } }", '"__proto__" cannot be a key'],
  ["profiles: { db: { __proto__: 1G } }", '"__proto__" cannot be a key'],
  ["profiles: { db: { mode: 0o755 } }", 'mode="0o755"'],
  ["profiles: { db: { size: 10737418240.0000000001 } }", "as a size"],
  ["log: !loud { level: info }", "not YAML"],
  ["? { a: 1 }\n: 2", "a key must be a word"],
  ['stateDir: "/a\\0b"', "without NUL"],
  ['"a\\eb": 1', '"a\\u001bb" is unknown'],
  ["engines: ['unix:///']", "engines.0"],
])("refuses %j and names the place", (text, place) => {
  expect(() => parseConfig(text)).toThrow(
    expect.objectContaining({ message: expect.stringContaining(place) }),
  );
});

it.each([
  [{ stateDir: "state" }, "stateDir: must be an absolute path"],
  [{ runDir: "" }, "runDir: must be an absolute path"],
  [{ engines: ["tcp://1.2.3.4"] }, "engines.0: must be unix:///PATH"],
])("holds what the command line says to the same rules: %j", async (overrides, why) => {
  await expect(readConfig(undefined, overrides)).rejects.toMatchObject({
    code: "invalid_argument",
    message: `Cannot use the arguments: ${why}`,
  });
});

it("takes the octal modes that people write", () => {
  const config = parseConfig("profiles: { a: { mode: 0755, protect: true, uid: 07 } }");
  expect([...config.profiles.values()]).toEqual([
    { mode: 0o755, protect: true, uid: 7, labels: {} },
  ]);
});
