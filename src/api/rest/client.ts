import { Agent, type IncomingMessage, request } from "node:http";
import { Failure, type FailureCode } from "../../core/failure.ts";
import { quote } from "../../core/name.ts";
import type {
  BranchBody,
  ChangeSnapshotBody,
  ProfileBody,
  RevertBody,
  TakeBody,
  TakeGroupBody,
  WireGroup,
  WireProfile,
  WireRestored,
  WireSnapshot,
  WireTaken,
  WireTrashedSnapshot,
} from "./history-resource.ts";
import type {
  ChangeVolumeBody,
  CreateVolumeBody,
  WireEmptied,
  WireEvent,
  WireFinding,
  WireOperation,
  WirePage,
  WirePool,
  WireRemoved,
  WireStatus,
  WireTrashed,
  WireUsage,
  WireVolume,
} from "./resource.ts";

export type {
  TakeBody,
  WireProfile,
  WireQuiet,
  WireSnapshot,
  WireTrashedSnapshot,
} from "./history-resource.ts";
export type {
  WireEvent,
  WireFinding,
  WireOperation,
  WirePool,
  WireStatus,
  WireTrashed,
  WireUsage,
  WireVolume,
} from "./resource.ts";

/** Where the daemon listens when nobody says. */
export const DEFAULT_HOST = "unix:///run/lagan/lagan.sock";
/** How long an answer is waited for, in milliseconds: a little longer than the daemon works on one. */
export const CLIENT_TIMEOUT_MS = 130_000;
/** Items asked for at once: the most that the daemon gives. */
const PAGE_SIZE = 500;

/** Values of a query; a list is given as the same key again and again. */
type Query = Readonly<Record<string, string | readonly string[] | undefined>>;

/** What goes with a request. */
interface Sending {
  readonly query?: Query;
  readonly body?: object;
}

/** The daemon's REST API, typed. Every method rejects with the daemon's own `Failure`, or `unavailable` when it is not there. */
export class RestClient {
  /** `unix:///PATH`. */
  readonly host: string;
  readonly #socketPath: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 4 });

  /** @throws {Failure} `invalid_argument` when `host` is not `unix:///PATH`. */
  constructor(host: string = DEFAULT_HOST) {
    const [, path] = /^unix:\/\/(\/[^\0]+)$/.exec(host) ?? [];
    if (path === undefined) {
      throw new Failure(
        "invalid_argument",
        `Cannot use ${quote(host)} as the daemon's address: give unix:///PATH, such as ${DEFAULT_HOST}`,
      );
    }
    this.host = host;
    this.#socketPath = path;
  }

  listVolumes(
    where: {
      readonly labels?: readonly string[];
      readonly pool?: string;
      readonly unused?: boolean;
    } = {},
  ): Promise<readonly WireVolume[]> {
    const unused = where.unused === undefined ? undefined : String(where.unused);
    return this.#listAll("/v1/volumes", { label: where.labels, pool: where.pool, unused });
  }

  getVolume(name: string): Promise<WireVolume> {
    return this.#ask("GET", `/v1/volumes/${encodeURIComponent(name)}`);
  }

  createVolume(body: CreateVolumeBody): Promise<WireVolume> {
    return this.#ask("POST", "/v1/volumes", { body });
  }

  changeVolume(name: string, body: ChangeVolumeBody): Promise<WireVolume> {
    return this.#ask("PATCH", `/v1/volumes/${encodeURIComponent(name)}`, { body });
  }

  removeVolume(name: string): Promise<WireRemoved> {
    return this.#ask("DELETE", `/v1/volumes/${encodeURIComponent(name)}`);
  }

  measureVolume(name: string): Promise<WireUsage> {
    return this.#ask("GET", `/v1/volumes/${encodeURIComponent(name)}/usage`);
  }

  takeSnapshot(volume: string, body: TakeBody): Promise<WireTaken> {
    return this.#ask("POST", `${pathOf(volume)}/snapshots`, { body });
  }

  takeGroup(body: TakeGroupBody): Promise<WireGroup> {
    return this.#ask("POST", "/v1/snapshot-groups", { body });
  }

  /** A volume's own, oldest first. */
  listSnapshots(volume: string): Promise<readonly WireSnapshot[]> {
    return this.#listAll(`${pathOf(volume)}/snapshots`, {});
  }

  /** Of every volume, newest first. */
  listAllSnapshots(): Promise<readonly WireSnapshot[]> {
    return this.#listAll("/v1/snapshots", {});
  }

  /** @param snapshot Its name, or the beginning of its id; so in the next ones. */
  getSnapshot(volume: string, snapshot: string): Promise<WireSnapshot> {
    return this.#ask("GET", pointOf(volume, snapshot));
  }

  changeSnapshot(
    volume: string,
    snapshot: string,
    body: ChangeSnapshotBody,
  ): Promise<WireSnapshot> {
    return this.#ask("PATCH", pointOf(volume, snapshot), { body });
  }

  removeSnapshot(volume: string, snapshot: string): Promise<WireTrashedSnapshot> {
    return this.#ask("DELETE", pointOf(volume, snapshot));
  }

  /** What a volume stands on, newest first. */
  log(volume: string): Promise<readonly WireSnapshot[]> {
    return this.#listAll(`${pathOf(volume)}/log`, {});
  }

  revert(volume: string, body: RevertBody): Promise<WireRestored> {
    return this.#ask("POST", `${pathOf(volume)}/restore`, { body });
  }

  createBranch(volume: string, body: BranchBody): Promise<WireVolume> {
    return this.#ask("POST", `${pathOf(volume)}/branches`, { body });
  }

  listBranches(volume: string): Promise<readonly WireVolume[]> {
    return this.#listAll(`${pathOf(volume)}/branches`, {});
  }

  listTrashedSnapshots(): Promise<readonly WireTrashedSnapshot[]> {
    return this.#listAll("/v1/trash-snapshots", {});
  }

  /** @param ref `VOLUME@SNAPSHOT`, or an id or its beginning; so in the next. */
  restoreSnapshot(ref: string): Promise<WireSnapshot> {
    return this.#ask("POST", `/v1/trash-snapshots/${encodeURIComponent(ref)}/restore`);
  }

  purgeSnapshot(ref: string): Promise<WireTrashedSnapshot> {
    return this.#ask("DELETE", `/v1/trash-snapshots/${encodeURIComponent(ref)}`);
  }

  listProfiles(): Promise<readonly WireProfile[]> {
    return this.#listAll("/v1/profiles", {});
  }

  getProfile(name: string): Promise<WireProfile> {
    return this.#ask("GET", `/v1/profiles/${encodeURIComponent(name)}`);
  }

  createProfile(body: ProfileBody): Promise<WireProfile> {
    return this.#ask("POST", "/v1/profiles", { body });
  }

  removeProfile(name: string): Promise<WireProfile> {
    return this.#ask("DELETE", `/v1/profiles/${encodeURIComponent(name)}`);
  }

  /** The one removed last first. */
  listTrash(): Promise<readonly WireTrashed[]> {
    return this.#listAll("/v1/trash", {});
  }

  /** @param what An id, the beginning of one, or the name of the volume removed last; so in the next three. */
  restoreVolume(what: string, name: string | undefined): Promise<WireVolume> {
    const body = name === undefined ? {} : { name };
    return this.#ask("POST", `/v1/trash/${encodeURIComponent(what)}/restore`, { body });
  }

  purgeVolume(what: string): Promise<WireTrashed> {
    return this.#ask("DELETE", `/v1/trash/${encodeURIComponent(what)}`);
  }

  measureTrashed(what: string): Promise<WireUsage> {
    return this.#ask("GET", `/v1/trash/${encodeURIComponent(what)}/usage`);
  }

  emptyTrash(): Promise<WireEmptied> {
    return this.#ask("DELETE", "/v1/trash");
  }

  listPools(): Promise<readonly WirePool[]> {
    return this.#listAll("/v1/pools", {});
  }

  getPool(name: string): Promise<WirePool> {
    return this.#ask("GET", `/v1/pools/${encodeURIComponent(name)}`);
  }

  /** Oldest first. */
  listOperations(): Promise<readonly WireOperation[]> {
    return this.#listAll("/v1/operations", {});
  }

  getOperation(id: string): Promise<WireOperation> {
    return this.#ask("GET", `/v1/operations/${encodeURIComponent(id)}`);
  }

  getStatus(): Promise<WireStatus> {
    return this.#ask("GET", "/v1/status");
  }

  async examine(): Promise<readonly WireFinding[]> {
    const { findings } = await this.#ask<{ readonly findings: readonly WireFinding[] }>(
      "GET",
      "/v1/doctor",
    );
    return findings;
  }

  /**
   * Events as they happen, until the daemon ends the stream or the caller stops reading.
   *
   * @param since First those after this sequence that are still kept; undefined: none.
   * @param follow False: end after them.
   */
  async *listenToEvents(since: number | undefined, follow: boolean): AsyncGenerator<WireEvent> {
    const query = { since: since === undefined ? undefined : String(since), follow: `${follow}` };
    const answer = await this.#send("GET", "/v1/events", { query }, 0);
    await ensureOk(answer);
    let text = "";
    answer.setEncoding("utf8");
    try {
      for await (const chunk of answer) {
        text += String(chunk);
        const blocks = text.split("\n\n");
        text = blocks.pop() ?? "";
        for (const block of blocks) {
          const data = /^data: (.*)$/m.exec(block)?.[1];
          if (data !== undefined) yield JSON.parse(data) as WireEvent;
        }
      }
    } catch (cause) {
      throw this.#unreachable(cause);
    } finally {
      answer.destroy();
    }
  }

  async #listAll<T>(path: string, query: Query): Promise<readonly T[]> {
    const items: T[] = [];
    let token: string | null = null;
    do {
      const paging = { page_size: String(PAGE_SIZE), page_token: token ?? undefined };
      const page: WirePage<T> = await this.#ask("GET", path, { query: { ...query, ...paging } });
      items.push(...page.items);
      token = page.nextPageToken;
    } while (token !== null);
    return items;
  }

  async #ask<T>(method: string, path: string, sending: Sending = {}): Promise<T> {
    const answer = await this.#send(method, path, sending, CLIENT_TIMEOUT_MS);
    await ensureOk(answer);
    return JSON.parse(await readText(answer)) as T;
  }

  /** @param timeoutMs Longest silence; 0: any. */
  #send(
    method: string,
    path: string,
    { query, body }: Sending,
    timeoutMs: number,
  ): Promise<IncomingMessage> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const sent = request(
        {
          ...{ method, path: path + formatQuery(query), timeout: timeoutMs },
          ...{ socketPath: this.#socketPath, agent: this.#agent },
          headers: {
            host: "lagan",
            ...(text !== undefined && {
              "content-type": "application/json",
              "content-length": Buffer.byteLength(text),
            }),
          },
        },
        resolve,
      );
      sent.once("timeout", () => sent.destroy(new Error("it does not answer in time")));
      sent.once("error", (cause) => reject(this.#unreachable(cause)));
      sent.end(text);
    });
  }

  #unreachable(cause: unknown): Failure {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
    const why = WHY_UNREACHABLE[code] ?? (cause instanceof Error ? cause.message : String(cause));
    return new Failure("unavailable", `Cannot reach the daemon at ${this.host}: ${why}`, { cause });
  }
}

function pathOf(volume: string): string {
  return `/v1/volumes/${encodeURIComponent(volume)}`;
}

function pointOf(volume: string, snapshot: string): string {
  return `${pathOf(volume)}/snapshots/${encodeURIComponent(snapshot)}`;
}

const START = "see: systemctl status lagand; or start one: lagan daemon";
const WHY_UNREACHABLE: Readonly<Record<string, string>> = {
  ENOENT: `there is no socket: it is not running, or runs with another --run-dir; ${START}`,
  ECONNREFUSED: `nobody listens: it has ended; ${START}`,
  EACCES: "you may not use its socket; be root or a member of group lagan",
  ECONNRESET: `it ended while it worked on this; what became of it is not known; ${START}`,
};

function formatQuery(query: Query | undefined): string {
  const pairs = Object.entries(query ?? {}).flatMap(([key, value]) =>
    [value ?? []].flat().map((one) => [key, one]),
  );
  return pairs.length === 0 ? "" : `?${new URLSearchParams(pairs)}`;
}

/** @throws {Failure} what the daemon says. */
async function ensureOk(answer: IncomingMessage): Promise<void> {
  const status = answer.statusCode ?? 0;
  if (status >= 200 && status < 300) return;
  throw parseProblem(await readText(answer), status);
}

function parseProblem(text: string, status: number): Failure {
  try {
    const { type, title, status: _, code, detail, traceId, ...facts } = JSON.parse(text);
    if (typeof code === "string" && typeof detail === "string") {
      return new Failure(code as FailureCode, detail, {
        detail: facts,
        cause: { type, title, traceId },
      });
    }
  } catch {
    // Not a problem document: told below.
  }
  return new Failure(
    "unavailable",
    `Cannot understand the answer (HTTP ${status}): is it lagand that listens there?`,
  );
}

async function readText(answer: IncomingMessage): Promise<string> {
  answer.setEncoding("utf8");
  let text = "";
  for await (const chunk of answer) text += String(chunk);
  return text;
}
