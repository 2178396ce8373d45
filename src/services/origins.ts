import { Failure } from "../core/failure.ts";
import { lineName, type Ref } from "../core/history/ref.ts";
import type { PointName, Snapshot } from "../core/history/snapshot.ts";
import type { VolumeName } from "../core/name.ts";
import type { Write } from "../core/ports/store.ts";
import type { Origin } from "../core/volume/spec.ts";
import type { Volume } from "../core/volume/volume.ts";
import type { History } from "./history.ts";
import type { Recorded, Records } from "./records.ts";
import type { Snapshots } from "./snapshots.ts";

/** An origin, and whether it was made for the occasion. */
interface FoundOrigin extends Origin {
  /** The same snapshot, when it was taken just now. */
  readonly taken?: Recorded<Snapshot>;
}

/** What {@link Origins} works with. */
interface OriginsParts {
  readonly records: Records;
  readonly history: History;
  readonly snapshots: Snapshots;
}

/** What clones and branches start from. */
export class Origins {
  readonly #parts: OriginsParts;

  constructor(parts: OriginsParts) {
    this.#parts = parts;
  }

  /**
   * Does `work` with what `from` names, for a new volume `name`. Of a volume or branch that lives a snapshot is taken,
   * unless `name` is there and was made from such a one; when `work` fails it is removed, also after a crash unless what
   * {@link used} gives was written.
   *
   * @throws {Failure} `not_found`; what taking a snapshot and `work` throw.
   */
  async around<T>(
    name: VolumeName,
    from: Ref,
    author: string,
    work: (origin: Origin) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const { snapshots } = this.#parts;
    const { taken, ...origin } = await this.#get(name, from, author, signal);
    try {
      return await work(origin);
    } catch (thrown) {
      if (taken !== undefined && !(await this.#isUsed(name, taken.value))) {
        await snapshots.forget(taken, signal);
      }
      throw thrown;
    } finally {
      if (taken !== undefined) snapshots.release(taken.value.id);
    }
  }

  /** To be written together with the record of a volume that starts from this. */
  used(snapshot: Snapshot | null): readonly Write[] {
    return snapshot === null ? [] : this.#parts.snapshots.used(snapshot.id);
  }

  async #get(
    name: VolumeName,
    from: Ref,
    author: string,
    signal: AbortSignal,
  ): Promise<FoundOrigin> {
    const { records, history, snapshots } = this.#parts;
    const line = await this.#findLine(from);
    if (line === undefined && from.at === null) {
      throw new Failure(
        "not_found",
        `Cannot start from volume "${from.volume}": it does not exist`,
      );
    }
    if (line === undefined) {
      const found = await history.get(from);
      return { snapshot: found.snapshot.value, spec: found.line.value.spec };
    }
    const { spec } = line;
    const made = (await records.findVolumeByName(name))?.value.spec.from;
    const own = await history.list(line.name);
    const before = own.find(({ value }) => value.id === made && value.cause === "clone");
    if (before !== undefined) return { snapshot: before.value, spec };
    const request = { message: `for ${name}`, author, cause: "clone" } as const;
    const snapshot = await snapshots.takeNow(line.name, request, signal);
    return { snapshot: snapshot.value, spec, taken: snapshot };
  }

  /** Also when nobody can tell: then it goes by the operation of the snapshot. */
  #isUsed(name: VolumeName, { id }: Snapshot): Promise<boolean> {
    return this.#parts.records.findVolumeByName(name).then(
      (found) => found?.value.spec.from === id,
      () => true,
    );
  }

  /** The snapshot that a volume starts from; null: none; undefined: it is gone. */
  async find({ spec: { from } }: Volume): Promise<Snapshot | null | undefined> {
    if (from === null) return null;
    const all = await this.#parts.records.listSnapshots();
    return all.find(({ value }) => value.id === from)?.value;
  }

  /** The volume or branch that `ref` names; undefined when it names a snapshot. */
  async #findLine({ volume, at }: Ref): Promise<Volume | undefined> {
    const name = at === null ? volume : lineName(volume, at as PointName);
    const found = await this.#parts.records.findVolumeByName(name);
    return found?.value.status.state === "ready" ? found.value : undefined;
  }
}
