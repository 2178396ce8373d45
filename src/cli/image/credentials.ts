import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import type { RegistryLogin } from "../../api/rest/client.ts";
import { Failure } from "../../core/failure.ts";
import { DEFAULT_REGISTRY } from "../../core/image/reference.ts";

/** What Docker's own registry is called where logins are kept. */
const HUB_KEY = "https://index.docker.io/v1/";
/** How long a helper may take, in milliseconds: one may ask a person. */
const HELPER_TIMEOUT_MS = 60_000;
const ANSWER_LIMIT = 64 * 1024;

/** Docker's configuration, as far as logins are in it (docker/cli, cli/config/configfile). */
interface DockerConfig {
  readonly auths?: Readonly<Record<string, StoredLogin>>;
  readonly credsStore?: string;
  readonly credHelpers?: Readonly<Record<string, string>>;
}

interface StoredLogin {
  readonly auth?: string;
  readonly username?: string;
  readonly password?: string;
  readonly identitytoken?: string;
}

/**
 * The login for a registry as `docker login` keeps it, in `~/.docker/config.json` (or `$DOCKER_CONFIG`) or with a helper
 * that is named there. Null: none.
 *
 * @throws {Failure} `invalid_argument` when the file cannot be read; `failed_precondition` when a helper fails.
 */
export async function findLogin(
  registry: string,
  environment: NodeJS.ProcessEnv,
): Promise<RegistryLogin | null> {
  const directory = environment["DOCKER_CONFIG"] || join(homedir(), ".docker");
  const config = await readConfig(join(directory, "config.json"));
  const key = registry === DEFAULT_REGISTRY ? HUB_KEY : registry;
  const helper = own(config.credHelpers, key) ?? own(config.credHelpers, registry);
  const store = helper ?? config.credsStore;
  if (typeof store === "string" && store !== "") {
    const found = await askHelper(store, key, environment);
    if (found !== null) return found;
  }
  const stored = storedLogin(config, key, registry);
  return stored === undefined ? null : loginOf(stored);
}

/** Old entries are URLs: the host counts. */
function storedLogin(
  { auths }: DockerConfig,
  key: string,
  registry: string,
): StoredLogin | undefined {
  const exact = own(auths, key) ?? own(auths, registry);
  if (exact !== undefined) return exact;
  const found = Object.entries(auths ?? {}).find(([name]) => {
    return name.replace(/^https?:\/\//, "").split("/")[0] === registry;
  });
  return found?.[1];
}

function loginOf({ auth, username, password, identitytoken }: StoredLogin): RegistryLogin | null {
  const [, name = "", secret = ""] =
    /^([^:]*):(.*)$/s.exec(Buffer.from(auth ?? "", "base64").toString()) ?? [];
  const login = { username: username || name, password: password || secret.replace(/\0+$/, "") };
  if (identitytoken) return { username: login.username, identitytoken };
  return login.username === "" || login.password === "" ? null : login;
}

async function readConfig(path: string): Promise<DockerConfig> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return {};
    throw new Failure("invalid_argument", `Cannot read ${path}: ${String(cause)}`, { cause });
  }
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value as DockerConfig;
  } catch {
    // Told below, without a word of what is in it.
  }
  throw new Failure("invalid_argument", `Cannot read ${path}: it is not JSON; see docker login`);
}

/** Asks `docker-credential-NAME get` (docker/docker-credential-helpers). Null: it knows none. */
async function askHelper(
  name: string,
  server: string,
  environment: NodeJS.ProcessEnv,
): Promise<RegistryLogin | null> {
  const program = `docker-credential-${name}`;
  const fail = (why: string): Failure =>
    new Failure(
      "failed_precondition",
      `Cannot get the login for ${server} from ${program}: ${why}`,
    );
  if (!/^[\w.-]+$/.test(name)) throw fail("that is no name of a program");
  const { code, text } = await run(program, `${server}\n`, environment).catch((cause: unknown) => {
    throw fail(cause instanceof Error ? cause.message : String(cause));
  });
  if (code !== 0) {
    if (/credentials not found/i.test(text)) return null;
    throw fail(`it ended with status ${code}`);
  }
  try {
    const { Username: username, Secret: secret }: Record<string, unknown> = JSON.parse(text);
    if (typeof username === "string" && typeof secret === "string") {
      if (secret === "") return null;
      return username === "<token>" ? { identitytoken: secret } : { username, password: secret };
    }
  } catch {
    // Told below, without a word of what it said.
  }
  throw fail("it did not answer with Username and Secret");
}

function run(
  program: string,
  input: string,
  environment: NodeJS.ProcessEnv,
): Promise<{ readonly code: number | null; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, ["get"], {
      stdio: ["pipe", "pipe", "ignore"],
      env: environment,
      timeout: HELPER_TIMEOUT_MS,
    });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (piece: string) => {
      if (text.length < ANSWER_LIMIT) text += piece;
    });
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, text }));
    // One that ends without reading is judged by its status.
    child.stdin.on("error", () => undefined);
    child.stdin.end(input);
  });
}

function own<T>(table: Readonly<Record<string, T>> | undefined, key: string): T | undefined {
  return table !== undefined && Object.hasOwn(table, key) ? table[key] : undefined;
}
