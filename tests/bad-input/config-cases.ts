import { BAD_OPTIONS, BAD_SIZES } from "./names.ts";

/** A configuration file and a part of what is said of it. */
export type ConfigCase = readonly [title: string, text: string, says: string];

const DEEP = 20_000;

/** A profile with one option, written so that YAML reads the text as it is. */
function profile(key: string, value: string): string {
  return `profiles: { db: { ${JSON.stringify(key)}: ${JSON.stringify(value)} } }`;
}

export const CONFIG_CASES: readonly ConfigCase[] = [
  ...BAD_SIZES.map(
    ([size, , says]): ConfigCase => [
      `size ${JSON.stringify(size.slice(0, 30))}`,
      profile("size", size),
      says,
    ],
  ),
  ...BAD_OPTIONS.filter(([key, , code]) => code === "invalid_argument" && key !== "profile").map(
    ([key, value, , says]): ConfigCase => [
      `option ${JSON.stringify(`${key}=${value}`.slice(0, 30))}`,
      profile(key, value),
      says,
    ],
  ),
  ["an octal of programmers", "profiles: { db: { mode: 0o755 } }", "octal"],
  ["a size as an exponent", "profiles: { db: { size: 1e9 } }", "as a size"],
  ["a word", "banana", "expected object"],
  ["a list", "- stateDir: /x", "expected object"],
  ["half a map", "pools: { a: ", "not YAML"],
  ["a tab", "log:\n\tlevel: info", "not YAML"],
  ["two documents", "log: {}\n---\nlog: {}", "not YAML"],
  ["a key twice", "stateDir: /a\nstateDir: /b", "not YAML"],
  ["a pool twice", "pools:\n  a: {}\n  a: {}", "not YAML"],
  ["an unknown key", "statedir: /x", "statedir is unknown"],
  ["an unknown key, deep", "log: { levl: info }", "levl is unknown"],
  ["a key with an escape", '"a\\eb": 1', "\\u001b"],
  ["__proto__", "__proto__: { stateDir: /x }", "__proto__"],
  ["a pool named __proto__", "pools: { __proto__: { driver: btrfs } }", "__proto__"],
  ["a pool's option __proto__", "pools: { a: { __proto__: x } }", "__proto__"],
  ["a profile's option __proto__", "profiles: { db: { __proto__: 1G } }", "__proto__"],
  ["constructor", "constructor: 1", "constructor is unknown"],
  ["a merge key", "x: &x { level: info }\nlog:\n  <<: *x", "is unknown"],
  ["a map as a key", "? { a: 1 }\n: 2", "a key must be a word"],
  ["an unknown tag", "log: !banana { level: info }", "not YAML"],
  ["a tag of code", "stateDir: !!js/function 'x'", "not YAML"],
  ["an alias of nothing", "log: *nothing", "not YAML"],
  [
    "aliases that multiply",
    `a: &a [x,x,x,x,x,x,x,x,x]\n${"bcdefgh".replace(/./g, (key, at) => {
      const before = "abcdefgh"[at as unknown as number];
      return `${key}: &${key} [${Array(9).fill(`*${before}`).join(",")}]\n`;
    })}`,
    "not YAML",
  ],
  [`lists ${DEEP} deep`, `${"[".repeat(DEEP)}${"]".repeat(DEEP)}`, "not YAML"],
  ["NUL in a path", 'stateDir: "/a\\0b"', "without NUL"],
  ["a relative path", "runDir: run/lagan", "absolute path"],
  ["an empty path", "runDir: ''", "absolute path"],
  ["a list for a path", "stateDir: [/a]", "stateDir"],
  ["an engine by TCP", "engines: ['tcp://127.0.0.1:2375']", "unix:///PATH"],
  ["an engine without a path", "engines: ['unix:///']", "unix:///PATH"],
  ["an engine that is no list", "engines: unix:///x", "engines"],
  ["a pool's name that climbs", "pools: { ../x: {} }", "as a pool name"],
  ["a pool's name with capitals", "pools: { Fast: {} }", "as a pool name"],
  ["a pool's name of 64 characters", `pools: { ${"x".repeat(64)}: {} }`, "as a pool name"],
  ["a pool's name with a look-alike", "pools: { f\u0430st: {} }", "as a pool name"],
  ["pools as a list", "pools: [default]", "pools"],
  ["a pool without a map", "pools: { a: btrfs }", "pools.a"],
  ["a list for a driver", "pools: { a: { driver: [btrfs] } }", "pools.a.driver"],
  ["a map for an option", "pools: { a: { size: { a: b } } }", "pools.a.size"],
  ["a default pool that is not there", "defaultPool: fast", 'there is no pool "fast"'],
  ["a pool for layers that is not there", "layers: { pool: fast }", 'there is no pool "fast"'],
  ["a default pool that climbs", "defaultPool: ../x", "as a pool name"],
  ["a profile in a profile", "profiles: { db: { profile: db } }", "cannot have a profile"],
  ["a profile's name with a blank", "profiles: { 'a b': {} }", "as a profile name"],
  ["trash for a negative time", "trash: { keep: -1h }", "as a duration"],
  ["trash for a number", "trash: { keep: 5 }", "as a duration"],
  ["trash for an hour and a half", "trash: { keep: 1.5h }", "as a duration"],
  ["trash for a full-width hour", "trash: { keep: \uff11h }", "as a duration"],
  ["trash for ever and ever", "trash: { keep: 9999999d }", "as a duration"],
  ["trash with a blank", "trash: { keep: '24 h' }", "as a duration"],
  ["a level that is none", "log: { level: LOUD }", "log.level"],
  ["null for the log", "log: null", "log"],
];

/** What only a start shows: pools that no driver can be. The daemon must end, with this on standard error. */
export const START_CASES: readonly ConfigCase[] = [
  [
    "an unknown driver",
    "pools: { default: { driver: banana } }",
    "there is auto, btrfs, directory",
  ],
  ["a driver from a path", "pools: { default: { driver: ../../x } }", "there is auto, btrfs"],
  [
    "a driver's option that is unknown",
    "pools: { default: { driver: directory, size: 1G } }",
    "it takes none",
  ],
  ["an unknown key", "statedir: /x", "Cannot use configuration"],
  ["no YAML", "a: [", "it is not YAML"],
];
