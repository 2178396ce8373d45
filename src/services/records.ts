import { Failure } from "../core/failure.ts";
import type { Snapshot } from "../core/history/snapshot.ts";
import type { OperationId, QuietId, SnapshotId, VolumeId } from "../core/id.ts";
import { lastMade } from "../core/last-made.ts";
import type { PoolName, ProfileName, VolumeName } from "../core/name.ts";
import type { Operation } from "../core/operation/operation.ts";
import type { PoolRecord } from "../core/pool/pool.ts";
import type { Compare, Store, StoreEntry, TxnHow, TxnResult, Write } from "../core/ports/store.ts";
import type { QuietRecord } from "../core/quiet/quiet-record.ts";
import type { Attachment } from "../core/volume/attachment.ts";
import type { ProfileRecord } from "../core/volume/profile.ts";
import type { Volume } from "../core/volume/volume.ts";
import { RecordMirror } from "./record-mirror.ts";
import type { Recorded } from "./recorded.ts";

export type { Recorded } from "./recorded.ts";

/*
 * Keys. Invariants, kept by every transaction of the services:
 * 1. names/NAME holds the id of the one volume of that name that is creating or ready.
 * 2. A volume that is trashed or removing has no names/ key: its name is free.
 * 3. A volume or snapshot that is creating or removing has exactly one running operation.
 * 4. snapshots/VOLUME/ID is there only while volumes/VOLUME is.
 */
const VOLUMES = "volumes/";
const NAMES = "names/";
const POOLS = "pools/";
const OPERATIONS = "operations/";
const QUIETS = "quiet/";
const PROFILES = "profiles/";
const SNAPSHOTS = "snapshots/";
const ATTACHMENTS = "attachments/";

/** What has to be as it was read for a write to be made. */
export interface Unchanged {
  readonly unchanged?: readonly Recorded<Volume>[];
  readonly unchangedSnapshots?: readonly Recorded<Snapshot>[];
}

/** Keys and values of the store in the words of the core. The only place that knows the form of either. */
export class Records {
  readonly #store: Store;
  readonly #damaged = new Set<string>();
  /** Of what listings are made of; sound while this object is the only writer of its keys. */
  readonly #volumes: RecordMirror<Volume>;
  readonly #snapshots: RecordMirror<Snapshot>;
  readonly #byVolume = lastMade(groupByVolume);
  readonly #readyByName = lastMade(readyByName);

  constructor(store: Store) {
    this.#store = store;
    const readable = this.#orDamaged.bind(this);
    this.#volumes = new RecordMirror(store, VOLUMES, readable(decodeVolume));
    this.#snapshots = new RecordMirror(store, SNAPSHOTS, readable(decode<Snapshot>));
  }

  async findVolumeByName(name: VolumeName): Promise<Recorded<Volume> | undefined> {
    const claim = await this.#store.get(NAMES + name);
    return claim === undefined ? undefined : this.findVolume(claim.value as VolumeId);
  }

  async findVolume(id: VolumeId): Promise<Recorded<Volume> | undefined> {
    return decodeVolume(await this.#store.get(VOLUMES + id));
  }

  /** In id order, so oldest first. */
  listVolumes(): Promise<readonly Recorded<Volume>[]> {
    return this.#volumes.list();
  }

  /** Those that are there to be used, by name. */
  async listReadyVolumes(): Promise<readonly Recorded<Volume>[]> {
    return this.#readyByName(await this.listVolumes());
  }

  async findPool(name: PoolName): Promise<PoolRecord | undefined> {
    return decode<PoolRecord>(await this.#store.get(POOLS + name))?.value;
  }

  async listPools(): Promise<readonly PoolRecord[]> {
    return (await this.#listAll(POOLS, decode<PoolRecord>)).map((pool) => pool.value);
  }

  async findSnapshot(volume: VolumeId, id: SnapshotId): Promise<Recorded<Snapshot> | undefined> {
    return decode<Snapshot>(await this.#store.get(snapshotKey({ volume, id })));
  }

  /** Of one volume, or of all; in id order, so of one volume oldest first. */
  async listSnapshots(volume?: VolumeId): Promise<readonly Recorded<Snapshot>[]> {
    const all = await this.#snapshots.list();
    if (volume === undefined) return all;
    return this.#byVolume(all).get(volume) ?? [];
  }

  async findOperation(id: OperationId): Promise<Operation | undefined> {
    return decodeOperation(await this.#store.get(OPERATIONS + id))?.value;
  }

  /** Oldest first. */
  async listOperations(): Promise<readonly Operation[]> {
    return (await this.#listAll(OPERATIONS, decodeOperation)).map(({ value }) => value);
  }

  /** Those made by command, by name. */
  async listProfiles(): Promise<readonly ProfileRecord[]> {
    return (await this.#listAll(PROFILES, decode<ProfileRecord>)).map((profile) => profile.value);
  }

  /** Of one volume, or of all. */
  async listAttachments(volume?: VolumeId): Promise<readonly Attachment[]> {
    const prefix = volume === undefined ? ATTACHMENTS : `${ATTACHMENTS}${volume}/`;
    return (await this.#listAll(prefix, decode<Attachment>)).map(({ value }) => value);
  }

  /** Oldest first. */
  async listQuiets(): Promise<readonly QuietRecord[]> {
    return (await this.#listAll(QUIETS, decode<QuietRecord>)).map((quiet) => quiet.value);
  }

  /** Keys of the records that a listing could not read, and left out: one bad record hides no other. */
  listDamaged(): readonly string[] {
    return [...this.#damaged].sort();
  }

  async #listAll<T>(
    prefix: string,
    decodeEntry: (entry: Entry) => Recorded<T> | undefined,
  ): Promise<readonly Recorded<T>[]> {
    const { entries } = await this.#store.list(prefix);
    const read = this.#orDamaged(decodeEntry);
    return entries.flatMap((entry) => read(entry) ?? []);
  }

  /** `decodeEntry`, leaving out what is damaged: one bad record hides no other. */
  #orDamaged<T>(
    decodeEntry: (entry: Entry) => Recorded<T> | undefined,
  ): (entry: Entry) => Recorded<T> | undefined {
    return (entry) => {
      try {
        return decodeEntry(entry);
      } catch (thrown) {
        if (!(thrown instanceof Failure)) throw thrown;
        this.#damaged.add(entry.key);
        return undefined;
      }
    };
  }

  /**
   * Makes `writes` if every record in `unchanged` and `unchangedSnapshots` is as it was read, and every name in
   * `free` is still free. Only what `Reconcile` makes again after a power cut may be durable `soon` (see `Store`, 16).
   *
   * @throws {Failure} `aborted` when somebody else was faster; nothing is changed, and the caller may read again.
   */
  async write(
    writes: readonly Write[],
    when: Unchanged & TxnHow & { readonly free?: readonly VolumeName[] } = {},
  ): Promise<number> {
    const compares: Compare[] = [
      ...(when.unchanged ?? []).map((volume) => ({
        key: VOLUMES + volume.value.id,
        modRevision: volume.revision,
      })),
      ...(when.unchangedSnapshots ?? []).map((snapshot) => ({
        key: snapshotKey(snapshot.value),
        modRevision: snapshot.revision,
      })),
      ...(when.free ?? []).map((name) => ({ key: NAMES + name, modRevision: 0 })),
    ];
    const result = await this.#txn(compares, writes, { durable: when.durable });
    if (!result.succeeded) {
      throw new Failure("aborted", "Cannot change the volume: it was changed meanwhile; try again");
    }
    return result.revision;
  }

  /** Resolves when the listings have what it wrote. */
  async #txn(
    compares: readonly Compare[],
    writes: readonly Write[],
    how: TxnHow,
  ): Promise<TxnResult> {
    const txn = this.#store.txn(compares, writes, how);
    const change = txn.then(
      ({ succeeded, revision }) => (succeeded ? revision : undefined),
      (thrown: unknown) => {
        if (Failure.from(thrown).code === "invalid_argument") return undefined;
        throw thrown;
      },
    );
    await Promise.all([
      this.#volumes.follow(writes, change),
      this.#snapshots.follow(writes, change),
      // A failure is told below; here nobody may be left without one who hears it.
      change.catch(() => undefined),
    ]);
    return txn;
  }
}

type Entry = Pick<StoreEntry, "key" | "value" | "modRevision">;

function readyByName(all: readonly Recorded<Volume>[]): readonly Recorded<Volume>[] {
  return all
    .filter(({ value }) => value.status.state === "ready")
    .sort((a, b) => (a.value.name < b.value.name ? -1 : 1));
}

function groupByVolume(
  snapshots: readonly Recorded<Snapshot>[],
): ReadonlyMap<VolumeId, readonly Recorded<Snapshot>[]> {
  const groups = new Map<VolumeId, Recorded<Snapshot>[]>();
  for (const snapshot of snapshots) {
    const { volume } = snapshot.value;
    const group = groups.get(volume);
    if (group === undefined) groups.set(volume, [snapshot]);
    else group.push(snapshot);
  }
  return groups;
}

/** The write that stores a volume's record. */
export function putVolume(volume: Volume): Write {
  return { do: "put", key: VOLUMES + volume.id, value: encode(volume) };
}

/** The write that stores a snapshot's record. */
export function putSnapshot(snapshot: Snapshot): Write {
  return { do: "put", key: snapshotKey(snapshot), value: encode(snapshot) };
}

/** The write that takes a snapshot's record away. */
export function dropSnapshot(snapshot: Snapshot): Write {
  return { do: "delete", key: snapshotKey(snapshot) };
}

function snapshotKey({ volume, id }: Pick<Snapshot, "volume" | "id">): string {
  return `${SNAPSHOTS}${volume}/${id}`;
}

/** The write that takes a volume's record away. */
export function dropVolume(id: VolumeId): Write {
  return { do: "delete", key: VOLUMES + id };
}

/** The write that gives a name to a volume. */
export function claimName(name: VolumeName, id: VolumeId): Write {
  return { do: "put", key: NAMES + name, value: id };
}

/** The write that frees a name. */
export function freeName(name: VolumeName): Write {
  return { do: "delete", key: NAMES + name };
}

/** The write that stores a pool's record. */
export function putPool(pool: PoolRecord): Write {
  return { do: "put", key: POOLS + pool.name, value: encode(pool) };
}

/** The write that stores an operation's record. */
export function putOperation(operation: Operation): Write {
  return { do: "put", key: OPERATIONS + operation.id, value: encode(operation) };
}

/** The write that forgets an operation. */
export function dropOperation(id: OperationId): Write {
  return { do: "delete", key: OPERATIONS + id };
}

/** The write that stores a profile. */
export function putProfile(profile: ProfileRecord): Write {
  return { do: "put", key: PROFILES + profile.name, value: encode(profile) };
}

/** The write that takes a profile away. */
export function dropProfile(name: ProfileName): Write {
  return { do: "delete", key: PROFILES + name };
}

/** The write that stores that a volume is given to a node. */
export function putAttachment(attachment: Attachment): Write {
  return { do: "put", key: attachmentKey(attachment), value: encode(attachment) };
}

/** The write that forgets it. */
export function dropAttachment(attachment: Attachment): Write {
  return { do: "delete", key: attachmentKey(attachment) };
}

function attachmentKey({ volume, node }: Attachment): string {
  return `${ATTACHMENTS}${volume}/${node}`;
}

/** The write that stores what puts containers back. */
export function putQuiet(quiet: QuietRecord): Write {
  return { do: "put", key: QUIETS + quiet.id, value: encode(quiet) };
}

/** The write that forgets containers that are put back. */
export function dropQuiet(id: QuietId): Write {
  return { do: "delete", key: QUIETS + id };
}

/** Version of the records' form; a record of another version is refused, never guessed at. */
const FORMAT = 1;

function encode(value: object): string {
  return JSON.stringify({ format: FORMAT, ...value });
}

function decode<T>(entry: Entry | undefined): Recorded<T> | undefined {
  if (entry === undefined) return undefined;
  const parsed = parseJson(entry);
  if (parsed.format !== FORMAT) {
    throw new Failure(
      "data_loss",
      `Cannot read record "${entry.key}": its form is ${String(parsed.format)}, this version reads ${FORMAT}`,
    );
  }
  const { format: _, ...value } = parsed;
  return { value: value as T, revision: entry.modRevision };
}

/** A volume's record as versions without history wrote it. */
type Older<T extends Volume> = Omit<T, "protection" | "branch" | "tip"> & Partial<T>;

/** A volume's record; one from before there was history has none. */
function decodeVolume(entry: Entry | undefined): Recorded<Volume> | undefined {
  const found = decode<Older<Volume> & { readonly protected?: boolean }>(entry);
  if (found === undefined) return undefined;
  const { protected: wasProtected, ...volume } = found.value;
  const protection = wasProtected === true ? { by: "unknown", at: volume.createdAt } : null;
  const { branch = null, tip = null } = volume;
  const spec = { ...volume.spec, from: volume.spec.from ?? null };
  return {
    value: { ...volume, protection: volume.protection ?? protection, branch, tip, spec },
    revision: found.revision,
  };
}

function decodeOperation(entry: Entry | undefined): Recorded<Operation> | undefined {
  const found = decode<Omit<Operation, "about"> & Partial<Operation>>(entry);
  return found && { ...found, value: { ...found.value, about: found.value.about ?? {} } };
}

function parseJson(entry: Entry): { readonly format?: unknown } {
  try {
    return JSON.parse(entry.value);
  } catch (cause) {
    throw new Failure("data_loss", `Cannot read record "${entry.key}": it is damaged`, { cause });
  }
}
