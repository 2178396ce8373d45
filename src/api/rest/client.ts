import { fstatSync } from "node:fs";
import { Failure } from "../../core/failure.ts";
import { quote } from "../../core/name.ts";
import type {
  BranchBody,
  ChangeSnapshotBody,
  ProfileBody,
  RevertBody,
  TakeBody,
  TakeGroupBody,
  WireAccounts,
  WireDiffLine,
  WireExported,
  WireGroup,
  WireImported,
  WireProfile,
  WireRestored,
  WireSnapshot,
  WireTaken,
  WireTrashedSnapshot,
  WireVolumeAccount,
} from "./history-resource.ts";
import { ImageClient } from "./image-client.ts";
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
import {
  CLIENT_TIMEOUT_MS,
  cutOff,
  ensureOk,
  type Query,
  readText,
  type Sending,
  Wire,
} from "./wire.ts";

export type {
  TakeBody,
  WireDiffLine,
  WireProfile,
  WireQuiet,
  WireSnapshot,
  WireTrashedSnapshot,
  WireVolumeAccount,
} from "./history-resource.ts";
export type { RegistryLogin } from "./image-client.ts";
export type { WireImage, WireLayer, WireRemovedImage } from "./image-resource.ts";
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
/** Items asked for at once: the most that the daemon gives. */
const PAGE_SIZE = 500;

/** The daemon's REST API, typed. Every method rejects with the daemon's own `Failure`, or `unavailable` when it is not there. */
export class RestClient {
  /** `unix:///PATH`. */
  readonly host: string;
  readonly #wire: Wire;
  readonly images: ImageClient;

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
    this.#wire = new Wire(host, path);
    this.images = new ImageClient({
      wire: this.#wire,
      ask: (method, asked, sending) => this.#ask(method, asked, sending),
      listAll: (asked, query) => this.#listAll(asked, query),
    });
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

  cancelOperation(id: string): Promise<WireOperation> {
    return this.#ask("POST", `/v1/operations/${encodeURIComponent(id)}/cancel`);
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
    for await (const block of this.#wire.blocks("/v1/events", { query }, "\n\n")) {
      const data = /^data: (.*)$/m.exec(block)?.[1];
      if (data !== undefined) yield JSON.parse(data) as WireEvent;
    }
  }

  /** What differs between two of `VOLUME`, `VOLUME@SNAPSHOT` and `VOLUME@BRANCH`; the last one sums it up. */
  async *diff(from: string, to: string): AsyncGenerator<WireDiffLine> {
    const path = `${pathOf(from.split("@")[0] ?? from)}/diff`;
    let line: WireDiffLine | undefined;
    for await (const text of this.#wire.blocks(path, { query: { from, to } }, "\n")) {
      line = JSON.parse(text) as WireDiffLine;
      yield line;
    }
    if (line === undefined || !("summary" in line)) throw cutOff("compare", `${from} with ${to}`);
  }

  /** The bytes of an archive of `VOLUME`, `VOLUME@SNAPSHOT` or `VOLUME@BRANCH`. Breaks when it is cut off. */
  async *exportTar(
    ref: string,
    options: { readonly compress?: "zstd" },
  ): AsyncGenerator<Uint8Array> {
    const [volume = "", at] = ref.split(/@(.*)/s);
    const path = `${pathOf(volume)}/export`;
    const answer = await this.#wire.send("GET", path, { query: { ...options, at } }, 0);
    await ensureOk(answer);
    try {
      for await (const piece of answer) yield piece as Uint8Array;
    } catch (cause) {
      throw cutOff("export", ref, cause);
    } finally {
      answer.destroy();
    }
  }

  /**
   * Has the daemon write the archive to an open file or pipe of this process; resolves to how many bytes, null for a pipe.
   *
   * @param file A descriptor. @throws {Failure} `unimplemented`, or `invalid_argument` of an older daemon, when it cannot.
   */
  async exportInto(ref: string, file: number): Promise<number | null> {
    const [volume = "", at] = ref.split(/@(.*)/s);
    const answer = await this.#wire.send(
      ...([
        "POST",
        `${pathOf(volume)}/export`,
        { body: { at, file, inode: inodeOf(file) } },
        0,
      ] as const),
    );
    await ensureOk(answer);
    const { bytes } = JSON.parse(await readText(answer)) as WireExported;
    return bytes;
  }

  /** Makes a volume from an archive. `archive` is read as fast as the daemon takes it, and no longer than it does. */
  async importTar(
    volume: string,
    archive: AsyncIterable<Uint8Array>,
    options: {
      readonly options: Readonly<Record<string, string>>;
      readonly devices: boolean;
      readonly author: string;
      /** A descriptor of this process, that the daemon reads the archive from; nothing is sent. Else as in `exportInto`. */
      readonly file?: number;
    },
  ): Promise<WireImported> {
    const query = {
      file: options.file === undefined ? undefined : String(options.file),
      inode: options.file === undefined ? undefined : inodeOf(options.file),
      option: Object.entries(options.options).map(([key, value]) => `${key}=${value}`),
      devices: String(options.devices),
      author: options.author,
    };
    const text = await this.#wire.upload(`${pathOf(volume)}/import`, { query }, archive);
    return JSON.parse(text) as WireImported;
  }

  /** What everything holds, from records. */
  async listAccounts(): Promise<readonly WireVolumeAccount[]> {
    const { volumes } = await this.#ask<WireAccounts>("GET", "/v1/usage");
    return volumes;
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
    const answer = await this.#wire.send(method, path, sending, CLIENT_TIMEOUT_MS);
    await ensureOk(answer);
    return JSON.parse(await readText(answer)) as T;
  }
}

function pathOf(volume: string): string {
  return `/v1/volumes/${encodeURIComponent(volume)}`;
}

/** Of an open file: its number alone means another one to whoever passes the connection on. */
function inodeOf(descriptor: number): string {
  const { dev, ino } = fstatSync(descriptor, { bigint: true });
  return `${dev}:${ino}`;
}

function pointOf(volume: string, snapshot: string): string {
  return `${pathOf(volume)}/snapshots/${encodeURIComponent(snapshot)}`;
}
