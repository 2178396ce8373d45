import { Failure } from "../core/failure.ts";
import { lineName, type Ref } from "../core/history/ref.ts";
import type { PointName, Snapshot } from "../core/history/snapshot.ts";
import type { VolumeName } from "../core/name.ts";
import type { Origin } from "../core/volume/spec.ts";
import type { Volume } from "../core/volume/volume.ts";
import type { History } from "./history.ts";
import type { Recorded, Records } from "./records.ts";
import type { Snapshots } from "./snapshots.ts";

/** An origin, and whether it was made for the occasion. */
export interface FoundOrigin extends Origin {
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
   * What `from` names, for a new volume `name`. Of a volume or branch that lives a snapshot is taken, unless `name` is
   * there and was made from such a one.
   *
   * @throws {Failure} `not_found`; what taking a snapshot throws.
   */
  async get(
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

  /** Removes a snapshot that {@link get} took, after what it was for failed. */
  async forget({ taken }: FoundOrigin, signal: AbortSignal): Promise<void> {
    if (taken !== undefined) await this.#parts.snapshots.forget(taken, signal);
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
