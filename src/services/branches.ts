import { lineName, type Ref } from "../core/history/ref.ts";
import type { PointName } from "../core/history/snapshot.ts";
import type { VolumeName } from "../core/name.ts";
import type { Volume } from "../core/volume/volume.ts";
import { rootOf } from "./history.ts";
import type { Recorded } from "./records.ts";
import type { Snapshots } from "./snapshots.ts";
import type { Volumes } from "./volumes.ts";

/** What {@link Branches} works with. */
interface BranchesParts {
  readonly volumes: Volumes;
  readonly snapshots: Snapshots;
}

/** Branches: lines of one volume's history with a head of their own. Each is a volume named `VOLUME@BRANCH`. */
export class Branches {
  readonly #parts: BranchesParts;

  constructor(parts: BranchesParts) {
    this.#parts = parts;
  }

  /**
   * Makes a branch of `volume` from a snapshot of it, or from what it holds now. One of this name is success when it
   * started from the same.
   *
   * @throws {Failure} `not_found`; `already_exists` when a snapshot has the name, or the branch started elsewhere; what
   * a creation throws.
   */
  async create(
    volume: VolumeName,
    name: PointName,
    options: { readonly from?: Ref; readonly author: string },
    signal: AbortSignal,
  ): Promise<Recorded<Volume>> {
    const { volumes, snapshots } = this.#parts;
    const { value: root } = await volumes.get(volume);
    const branch = { of: rootOf(root), name };
    const from = options.from ?? { volume, at: null };
    const create = (): Promise<Recorded<Volume>> =>
      volumes.create(lineName(volume, name), { labels: {}, from }, signal, {
        branch,
        author: options.author,
      });
    const found = await volumes.find(lineName(volume, name));
    return found === undefined ? snapshots.withName(root, name, create) : create();
  }

  /** Those of a volume, by name. @throws {Failure} `not_found`. */
  async list(volume: VolumeName): Promise<readonly Recorded<Volume>[]> {
    const { volumes } = this.#parts;
    const { value: root } = await volumes.get(volume);
    return (await volumes.list()).filter(({ value }) => value.branch?.of === root.id);
  }
}
