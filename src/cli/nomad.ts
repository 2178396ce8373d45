import type { RestClient, WireVolume } from "../api/rest/client.ts";
import { Failure } from "../core/failure.ts";
import { quote } from "../core/name.ts";
import { VERSION } from "../core/version.ts";
import type { Context } from "./context.ts";
import { tellFailure } from "./many.ts";

/** The label by which a volume of Nomad's is found again, whatever it is called by then. */
const ID_LABEL = "nomad.volume-id";
/** Longest part of Nomad's name in ours, in characters. */
const NAME_LIMIT = 100;

/** A volume as Nomad wants it. */
interface Wanted {
  readonly id: string;
  readonly name: string;
  readonly namespace: string;
  /** 0: not said. */
  readonly minBytes: number;
  readonly maxBytes: number;
  readonly parameters: Readonly<Record<string, string>>;
}

/**
 * Nomad's plugin for dynamic host volumes
 * (developer.hashicorp.com/nomad/plugins/author/host-volume, Nomad 1.10): an operation as argument, what it is about in
 * the environment, JSON on standard output. Nomad calls `create` again at every start of its agent.
 */
export async function nomadHostVolume(
  context: Context,
  operation: string | undefined,
  environment: NodeJS.ProcessEnv,
): Promise<void> {
  const tell = (answer: object) => context.out(`${JSON.stringify(answer)}\n`);
  try {
    switch (operation) {
      case "fingerprint":
        return tell({ version: VERSION });
      case "create":
        return tell(await create(await context.client(), parseWanted(environment)));
      case "delete":
        await remove(await context.client(), need(environment, "DHV_VOLUME_ID"));
        return tell({});
      default:
        throw new Failure(
          "invalid_argument",
          `Cannot do ${quote(operation ?? "")} for Nomad: it must be fingerprint, create or delete`,
        );
    }
  } catch (thrown) {
    // Nomad shows what stands here beside the exit code.
    tell({ error: Failure.from(thrown).message });
    tellFailure(context, thrown);
  }
}

async function create(
  client: RestClient,
  wanted: Wanted,
): Promise<{ readonly path: string; readonly bytes: number }> {
  const found = await find(client, wanted.id);
  if (found === undefined) await ensureNotTrashed(client, wanted.id);
  const { name } = found ?? (await make(client, wanted));
  const { path, sizeBytes, pool, driver } = await client.getVolume(name);
  if (path != null) return { path, bytes: sizeBytes ?? 0 };
  if (found === undefined) await client.removeVolume(name);
  throw new Failure(
    "failed_precondition",
    `Cannot give volume ${quote(wanted.name)} to Nomad: volumes of pool "${pool}" (${driver}) have a directory only while a container has them; choose a pool of btrfs, zfs or directory, or use CSI`,
  );
}

function make(client: RestClient, wanted: Wanted): Promise<WireVolume> {
  const sizeBytes = wanted.maxBytes || wanted.minBytes;
  return client.createVolume({
    name: nameOf(wanted),
    options: { ...wanted.parameters, ...(sizeBytes > 0 && { size: String(sizeBytes) }) },
    labels: {
      [ID_LABEL]: wanted.id,
      "nomad.name": wanted.name,
      "nomad.namespace": wanted.namespace,
    },
    author: "nomad",
  });
}

async function remove(client: RestClient, id: string): Promise<void> {
  const found = await find(client, id);
  if (found !== undefined) await client.removeVolume(found.name);
}

async function find(client: RestClient, id: string): Promise<WireVolume | undefined> {
  const [found] = await client.listVolumes({ labels: [`${ID_LABEL}=${id}`] });
  return found;
}

/** An empty volume in the place of a removed one would look like lost data. */
async function ensureNotTrashed(client: RestClient, id: string): Promise<void> {
  const trashed = (await client.listTrash()).find(({ labels }) => labels[ID_LABEL] === id);
  if (trashed === undefined) return;
  throw new Failure(
    "failed_precondition",
    `Cannot make volume "${trashed.name}" for Nomad: it was removed, and lies in the trash; take it back: lagan trash restore ${trashed.name}`,
  );
}

/** Nomad's names are told apart by namespace only, and may hold anything. */
function nameOf({ id, name }: Wanted): string {
  const plain = name.replace(/[^a-zA-Z0-9_.-]/g, "-").replace(/^[^a-zA-Z0-9]+/, "");
  return `${plain.slice(0, NAME_LIMIT) || "volume"}-${id.slice(0, 8)}`;
}

function parseWanted(environment: NodeJS.ProcessEnv): Wanted {
  const parameters = parseParameters(environment["DHV_PARAMETERS"]);
  if (parameters["size"] !== undefined) {
    throw new Failure(
      "invalid_argument",
      "Cannot use size among the parameters: give capacity_max in the volume's specification",
    );
  }
  return {
    id: need(environment, "DHV_VOLUME_ID"),
    name: need(environment, "DHV_VOLUME_NAME"),
    namespace: environment["DHV_NAMESPACE"] || "default",
    minBytes: parseBytes(environment, "DHV_CAPACITY_MIN_BYTES"),
    maxBytes: parseBytes(environment, "DHV_CAPACITY_MAX_BYTES"),
    parameters,
  };
}

function need(environment: NodeJS.ProcessEnv, name: string): string {
  const value = environment[name];
  if (value) return value;
  throw new Failure("invalid_argument", `Cannot work for Nomad: ${name} is not set`);
}

function parseBytes(environment: NodeJS.ProcessEnv, name: string): number {
  const text = environment[name] || "0";
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new Failure("invalid_argument", `Cannot use ${name}=${quote(text)}: give bytes`);
}

function parseParameters(text: string | undefined): Readonly<Record<string, string>> {
  const refused = (why: string) =>
    new Failure("invalid_argument", `Cannot use the parameters ${quote(text ?? "")}: ${why}`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text || "{}");
  } catch {
    throw refused("they are not JSON");
  }
  // Go writes a map that is nil so.
  if (parsed === null) return {};
  if (typeof parsed !== "object" || Array.isArray(parsed)) throw refused("give an object");
  const pairs = Object.entries(parsed);
  const wrong = pairs.find(([, value]) => typeof value !== "string");
  if (wrong !== undefined) throw refused(`${quote(wrong[0])} is no text`);
  return Object.fromEntries(pairs as [string, string][]);
}
