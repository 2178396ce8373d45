import { readFile } from "node:fs/promises";
import { isAbsolute } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { parseDurationMs } from "../core/duration.ts";
import { Failure } from "../core/failure.ts";
import { type PoolName, parsePoolName, parseProfileName, quote } from "../core/name.ts";
import type { PoolSpec } from "../core/pool/pool.ts";
import { parseVolumeOptions } from "../core/volume/options.ts";
import type { Profile, Profiles } from "../core/volume/spec.ts";

/** Where the configuration is looked for when nobody says. It may be absent: every key has a default. */
export const CONFIG_PATH = "/etc/lagan/lagan.yaml";

/** The daemon's configuration, whole and checked. Paths are absolute. */
export interface Config {
  readonly stateDir: string;
  readonly runDir: string;
  readonly dockerPluginDir: string;
  readonly defaultPool: PoolName;
  readonly pools: readonly PoolSpec[];
  readonly profiles: Profiles;
  /** Milliseconds that removed volumes stay in the trash; 0: not at all; null: until it is emptied. */
  readonly trashKeepMs: number | null;
  /** Sockets of engines to ask about containers and volumes, `unix:///…`. */
  readonly engines: readonly string[];
  readonly logLevel: "debug" | "info" | "warn" | "error";
}

const path = z.string().refine(isAbsolute, "must be an absolute path");
const scalar = z.union([z.string(), z.number(), z.boolean()]).transform(String);

const SCHEMA = z.strictObject({
  stateDir: path.default("/var/lib/lagan"),
  runDir: path.default("/run/lagan"),
  dockerPluginDir: path.default("/run/docker/plugins"),
  defaultPool: z.string().default("default"),
  pools: z
    .record(z.string(), z.looseObject({ driver: z.string().default("auto") }).catchall(scalar))
    .default({}),
  profiles: z.record(z.string(), z.record(z.string(), scalar)).default({}),
  trash: z.strictObject({ keep: scalar.default("24h") }).prefault({}),
  engines: z
    .array(z.string().startsWith("unix:///", "must be unix:///PATH"))
    .default(["unix:///var/run/docker.sock"]),
  log: z
    .strictObject({ level: z.enum(["debug", "info", "warn", "error"]).default("info") })
    .prefault({}),
});

/** What the command line and the environment say; it wins over the file. */
export type ConfigOverrides = Partial<
  Pick<Config, "stateDir" | "runDir" | "dockerPluginDir" | "engines" | "logLevel">
>;

/**
 * Reads the configuration.
 *
 * @param file Path of a YAML file, which must exist; undefined: {@link CONFIG_PATH}, which may not.
 * @throws {Failure} `invalid_argument` naming the file, the key and what is allowed; `not_found` for the file.
 */
export async function readConfig(
  file: string | undefined,
  overrides: ConfigOverrides,
): Promise<Config> {
  const where = file ?? CONFIG_PATH;
  const text = await readText(where, file !== undefined);
  try {
    return { ...parseConfig(text), ...overrides };
  } catch (thrown) {
    const failure = Failure.from(thrown);
    if (failure.code === "internal") throw thrown;
    throw new Failure(failure.code, `Cannot use configuration ${where}: ${failure.message}`);
  }
}

/** The configuration of a YAML text; an empty one is all defaults. @throws {Failure} `invalid_argument`, `out_of_range`. */
export function parseConfig(text: string): Config {
  const raw = SCHEMA.safeParse(parseYaml(text) ?? {});
  if (!raw.success) {
    const faults = raw.error.issues.map(
      (issue) => `${issue.path.join(".") || "the file"}: ${issue.message}`,
    );
    throw new Failure("invalid_argument", faults.join("; "));
  }
  const { data } = raw;
  const defaultPool = parsePoolName(data.defaultPool);
  const pools = Object.entries(data.pools).map(
    ([name, { driver, ...options }]): PoolSpec => ({
      name: parsePoolName(name),
      driver,
      options,
    }),
  );
  const known = pools.some(({ name }) => name === defaultPool);
  if (!known && defaultPool !== "default") {
    throw new Failure(
      "invalid_argument",
      `defaultPool: there is no pool "${defaultPool}" under pools`,
    );
  }
  return {
    stateDir: data.stateDir,
    runDir: data.runDir,
    dockerPluginDir: data.dockerPluginDir,
    defaultPool,
    pools: known ? pools : [{ name: defaultPool, driver: "auto", options: {} }, ...pools],
    profiles: new Map(Object.entries(data.profiles).map(parseProfile)),
    trashKeepMs: data.trash.keep === "forever" ? null : parseDurationMs(data.trash.keep),
    engines: data.engines,
    logLevel: data.log.level,
  };
}

function parseProfile([name, options]: [string, Record<string, string>]) {
  const { profile, ...rest } = parseVolumeOptions(options);
  if (profile !== undefined) {
    throw new Failure("invalid_argument", `profiles.${name}: a profile cannot have a profile`);
  }
  return [parseProfileName(name), rest satisfies Profile] as const;
}

function parseYaml(text: string): unknown {
  try {
    return parse(text, { maxAliasCount: 100, uniqueKeys: true });
  } catch (thrown) {
    const why =
      thrown instanceof Error ? (thrown.message.split("\n")[0] ?? "") : quote(String(thrown));
    throw new Failure("invalid_argument", `it is not YAML: ${why}`);
  }
}

async function readText(file: string, mustExist: boolean): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    const absent = cause instanceof Error && "code" in cause && cause.code === "ENOENT";
    if (absent && !mustExist) return "";
    const why = absent ? "it does not exist" : String(cause);
    throw new Failure("not_found", `Cannot read configuration ${file}: ${why}`, { cause });
  }
}
