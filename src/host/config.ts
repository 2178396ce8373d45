import { readFile } from "node:fs/promises";
import { isAbsolute } from "node:path";
import { isScalar, parseDocument, visit } from "yaml";
import { z } from "zod";
import { parseDurationMs } from "../core/duration.ts";
import { Failure } from "../core/failure.ts";
import { type PoolName, parsePoolName, parseProfileName, quote } from "../core/name.ts";
import type { PoolSpec } from "../core/pool/pool.ts";
import { type ProfileTable, parseProfile } from "../core/volume/profile.ts";

/** Where the configuration is looked for when nobody says. It may be absent: every key has a default. */
export const CONFIG_PATH = "/etc/lagan/lagan.yaml";

/** The daemon's configuration, whole and checked. Paths are absolute. */
export interface Config {
  readonly stateDir: string;
  readonly runDir: string;
  readonly dockerPluginDir: string;
  readonly defaultPool: PoolName;
  readonly pools: readonly PoolSpec[];
  /** Where layers of engines and images lie; null: chosen. */
  readonly layersPool: PoolName | null;
  readonly profiles: ProfileTable;
  /** Milliseconds that removed volumes stay in the trash; 0: not at all; null: until it is emptied. */
  readonly trashKeepMs: number | null;
  /** Sockets of engines to ask about containers and volumes, `unix:///…`. */
  readonly engines: readonly string[];
  readonly logLevel: "debug" | "info" | "warn" | "error";
  /** The Container Storage Interface. */
  readonly csi: {
    /** This node's id; undefined: the machine's name. */
    readonly node: string | undefined;
    /** Most volumes attached to this node; 0: any number. */
    readonly maxVolumes: number;
    /** Also the calls that only version 1.13 has. */
    readonly health: boolean;
    /** Who is asked for more room: any node's daemon, or the one of the volume's node only. */
    readonly expandBy: "controller" | "node";
  };
}

const path = z
  .string()
  .refine(isAbsolute, "must be an absolute path")
  .refine((text) => !text.includes("\0"), "must be a path without NUL");
const engines = z.array(
  z
    .string()
    .regex(/^unix:\/\/\/./, "must be unix:///PATH")
    .refine((text) => !text.includes("\0"), "must be a path without NUL"),
);
const level = z.enum(["debug", "info", "warn", "error"]);

const SCHEMA = z.strictObject({
  stateDir: path.default("/var/lib/lagan"),
  runDir: path.default("/run/lagan"),
  dockerPluginDir: path.default("/run/docker/plugins"),
  defaultPool: z.string().default("default"),
  pools: z
    .record(z.string(), z.looseObject({ driver: z.string().default("auto") }).catchall(z.string()))
    .default({}),
  layers: z.strictObject({ pool: z.string().optional() }).prefault({}),
  profiles: z.record(z.string(), z.record(z.string(), z.string())).default({}),
  trash: z.strictObject({ keep: z.string().default("24h") }).prefault({}),
  engines: engines.default(["unix:///var/run/docker.sock"]),
  log: z.strictObject({ level: level.default("info") }).prefault({}),
  csi: z
    .strictObject({
      node: z
        .string()
        // A value of a topology: RFC 1123, and no longer than Kubernetes takes.
        .regex(/^[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?$/, "must be a name of a node")
        .optional(),
      maxVolumes: z
        .string()
        .regex(/^\d{1,9}$/, "must be a number")
        .default("0"),
      health: z.enum(["true", "false"]).default("false"),
      expandBy: z.enum(["controller", "node"]).default("controller"),
    })
    .prefault({}),
});

const OVERRIDES = z.object({
  stateDir: path.optional(),
  runDir: path.optional(),
  dockerPluginDir: path.optional(),
  engines: engines.optional(),
  logLevel: level.optional(),
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
  hold(OVERRIDES, overrides, "Cannot use the arguments: ");
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
  const data = hold(SCHEMA, parseYaml(text) ?? {}, "");
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
  const layersPool = data.layers.pool === undefined ? null : parsePoolName(data.layers.pool);
  if (
    layersPool !== null &&
    ![defaultPool, ...pools.map(({ name }) => name)].includes(layersPool)
  ) {
    throw new Failure(
      "invalid_argument",
      `layers.pool: there is no pool "${layersPool}" under pools`,
    );
  }
  return {
    layersPool,
    stateDir: data.stateDir,
    runDir: data.runDir,
    dockerPluginDir: data.dockerPluginDir,
    defaultPool,
    pools: known ? pools : [{ name: defaultPool, driver: "auto", options: {} }, ...pools],
    profiles: new Map(Object.entries(data.profiles).map(namedProfile)),
    trashKeepMs: data.trash.keep === "forever" ? null : parseDurationMs(data.trash.keep),
    engines: data.engines,
    logLevel: data.log.level,
    csi: {
      node: data.csi.node,
      maxVolumes: Number(data.csi.maxVolumes),
      health: data.csi.health === "true",
      expandBy: data.csi.expandBy,
    },
  };
}

function namedProfile([name, options]: [string, Record<string, string>]) {
  return [parseProfileName(name), parseProfile(options)] as const;
}

/** `value` if `schema` takes it. @throws {Failure} `invalid_argument` naming up to five faults. */
function hold<T>(schema: z.ZodType<T>, value: unknown, attempt: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const faults = result.error.issues.slice(0, 5).map((issue) => {
    const where = issue.path.map((key) => nameOf(String(key))).join(".");
    const keys = issue.code === "unrecognized_keys" ? issue.keys.slice(0, 5).map(nameOf) : [];
    const why = keys.length === 0 ? issue.message : `${keys.join(", ")} is unknown`;
    return `${where || "the file"}: ${why}`;
  });
  throw new Failure("invalid_argument", `${attempt}${faults.join("; ")}`);
}

function nameOf(key: string): string {
  return /^[\w.-]{1,64}$/.test(key) ? key : quote(key);
}

/** Every scalar is the text that is written: `mode: 0o755` is not the number 493, and no digit of a size is lost. */
function parseYaml(text: string): unknown {
  const notYaml = (why: string) => new Failure("invalid_argument", `it is not YAML: ${why}`);
  try {
    const document = parseDocument(text, { schema: "failsafe", uniqueKeys: true });
    const [fault] = [...document.errors, ...document.warnings];
    if (fault !== undefined) throw notYaml(quote(fault.message.split("\n")[0] ?? "").slice(1, -1));
    visit(document, {
      Pair: (_, { key }) => {
        if (!isScalar(key)) throw notYaml("a key must be a word");
        // What handles objects drops it without a word.
        if (key.value === "__proto__") throw notYaml('"__proto__" cannot be a key');
      },
    });
    return document.toJS({ maxAliasCount: 100 });
  } catch (thrown) {
    if (thrown instanceof Failure) throw thrown;
    throw notYaml(quote(thrown instanceof Error ? thrown.message : String(thrown)).slice(1, -1));
  }
}

async function readText(file: string, mustExist: boolean): Promise<string> {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await readFile(file));
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    const absent = code === "ENOENT";
    if (absent && !mustExist) return "";
    const why = absent ? "it does not exist" : String(cause);
    const [failure, reason] =
      code === "ERR_ENCODING_INVALID_ENCODED_DATA"
        ? (["invalid_argument", "it is not UTF-8"] as const)
        : (["not_found", why] as const);
    throw new Failure(failure, `Cannot read configuration ${file}: ${reason}`, { cause });
  }
}
