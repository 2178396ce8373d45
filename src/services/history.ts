import { Failure } from "../core/failure.ts";
import { formatRef, pickSnapshot, type Ref } from "../core/history/ref.ts";
import type { Snapshot } from "../core/history/snapshot.ts";
import type { VolumeId } from "../core/id.ts";
import { lastMade } from "../core/last-made.ts";
import type { VolumeName } from "../core/name.ts";
import type { Volume } from "../core/volume/volume.ts";
import type { Recorded, Records } from "./records.ts";

/** A snapshot with the volume, or branch, that it was taken of. */
export interface Found {
  readonly line: Recorded<Volume>;
  readonly snapshot: Recorded<Snapshot>;
}

/** The history of volumes, as the store tells it. Pools are never asked. */
export class History {
  readonly #records: Records;
  readonly #join = lastMade(join);

  constructor(records: Records) {
    this.#records = records;
  }

  /**
   * What `ref` names.
   *
   * @throws {Failure} `not_found`; `invalid_argument` when it names no snapshot, or the beginning of an id fits several.
   */
  async get(ref: Ref): Promise<Found> {
    if (ref.at === null) {
      throw new Failure(
        "invalid_argument",
        `Cannot find a snapshot: "${ref.volume}" is a volume; give ${ref.volume}@SNAPSHOT; to see what there is: lagan log ${ref.volume}`,
      );
    }
    const volume = await this.line(ref.volume);
    const family = await this.family(rootOf(volume.value));
    const snapshot = await this.#pick(ref, family);
    const line = family.find(({ value }) => value.id === snapshot.value.volume) ?? volume;
    return { line, snapshot };
  }

  async #pick(ref: Ref, family: readonly Recorded<Volume>[]): Promise<Recorded<Snapshot>> {
    const pick = (some: readonly Recorded<Snapshot>[]) =>
      pickSnapshot(ref, some, ({ value }) => value);
    const ready = await this.snapshotsOf(family);
    try {
      return pick(ready);
    } catch (thrown) {
      const lines = new Set(family.map(({ value }) => value.id));
      const unready = (await this.#records.listSnapshots()).filter(
        ({ value }) => value.status.state === "creating" && lines.has(value.volume),
      );
      if (unready.some((one) => isPicked(() => pick([one])))) {
        throw stillMade("snapshot", formatRef(ref));
      }
      throw thrown;
    }
  }

  /** Ready ones of one volume or branch, oldest first. @throws {Failure} `not_found`. */
  async list(line: VolumeName): Promise<readonly Recorded<Snapshot>[]> {
    return this.#ready((await this.line(line)).value.id);
  }

  /** Every ready one of every ready volume, by volume, oldest first: the same list until something changes. */
  async listAll(): Promise<readonly Found[]> {
    const volumes = await this.#records.listVolumes();
    return this.#join(volumes, await this.#records.listSnapshots());
  }

  /**
   * The history that a volume or branch stands on, newest first: its own snapshots, then, from where it started, those
   * of what it started from.
   *
   * @throws {Failure} `not_found`.
   */
  async log(name: VolumeName): Promise<readonly Found[]> {
    const records = this.#records;
    const log: Found[] = [];
    const seen = new Set<VolumeId>();
    let line: Recorded<Volume> | undefined = await this.line(name);
    let until = Number.POSITIVE_INFINITY;
    while (line !== undefined && !seen.has(line.value.id)) {
      const value: Volume = line.value;
      seen.add(value.id);
      const own = await this.#ready(value.id);
      for (const snapshot of own.toReversed()) {
        if (snapshot.value.createdAt <= until) log.push({ line, snapshot });
      }
      const all: readonly Recorded<Snapshot>[] =
        value.spec.from === null ? [] : await records.listSnapshots();
      const origin: Snapshot | undefined = all.find(
        (snapshot) => snapshot.value.id === value.spec.from,
      )?.value;
      line = origin && (await records.findVolume(origin.volume));
      if (line?.value.status.state !== "ready") break;
      until = origin?.createdAt ?? until;
    }
    return log;
  }

  /** The volume or branch of this id, wherever it stands, or undefined. */
  findLine(id: VolumeId): Promise<Recorded<Volume> | undefined> {
    return this.#records.findVolume(id);
  }

  /** A ready volume or branch. @throws {Failure} `not_found`. */
  async line(name: VolumeName): Promise<Recorded<Volume>> {
    const found = await this.#records.findVolumeByName(name);
    if (found?.value.status.state === "ready") return found;
    if (found !== undefined) throw stillMade("volume", name);
    throw new Failure("not_found", `Cannot find volume "${name}": it does not exist`);
  }

  /** The volume of this id and its branches, those that are ready. */
  async family(root: VolumeId): Promise<readonly Recorded<Volume>[]> {
    const all = await this.#records.listVolumes();
    return all.filter(
      ({ value }) =>
        value.status.state === "ready" && (value.id === root || value.branch?.of === root),
    );
  }

  /** Ready ones of these lines. */
  async snapshotsOf(lines: readonly Recorded<Volume>[]): Promise<readonly Recorded<Snapshot>[]> {
    return (await Promise.all(lines.map(({ value }) => this.#ready(value.id)))).flat();
  }

  async #ready(volume: VolumeId): Promise<readonly Recorded<Snapshot>[]> {
    return (await this.#records.listSnapshots(volume)).filter(isReady);
  }
}

/** The volume that a line belongs to: itself, unless it is a branch. */
export function rootOf(line: Volume): VolumeId {
  return line.branch?.of ?? line.id;
}

function join(
  volumes: readonly Recorded<Volume>[],
  snapshots: readonly Recorded<Snapshot>[],
): readonly Found[] {
  const lines = new Map(
    volumes.flatMap((line) =>
      line.value.status.state === "ready" ? [[line.value.id, line] as const] : [],
    ),
  );
  return snapshots.flatMap((snapshot) => {
    const line = lines.get(snapshot.value.volume);
    return line !== undefined && isReady(snapshot) ? [{ line, snapshot }] : [];
  });
}

/** Of what may have been acknowledged before a power cut nobody says that it is not there. */
function stillMade(what: string, name: string): Failure {
  return new Failure(
    "unavailable",
    `Cannot use ${what} "${name}" yet: it is being made; try again`,
  );
}

function isPicked(pick: () => unknown): boolean {
  try {
    pick();
    return true;
  } catch {
    return false;
  }
}

function isReady({ value }: Recorded<Snapshot>): boolean {
  return value.status.state === "ready";
}
