import { Failure } from "../core/failure.ts";
import { lineName } from "../core/history/ref.ts";
import type { VolumeName } from "../core/name.ts";
import type { Write } from "../core/ports/store.ts";
import type { Volume } from "../core/volume/volume.ts";
import type { Mounts } from "./mounts.ts";
import { claimName, freeName, putVolume, type Recorded, type Records } from "./records.ts";

/** What a new name changes beside the record of the volume itself. */
export interface RenamePlan {
  readonly writes: readonly Write[];
  readonly unchanged: readonly Recorded<Volume>[];
  /** Names that must be free. */
  readonly free: readonly VolumeName[];
}

/** What a change of anything but the name renames. */
export const NOTHING_RENAMED: RenamePlan = { writes: [], unchanged: [], free: [] };

/** What {@link Families} works with. */
interface FamiliesParts {
  readonly records: Records;
  readonly mounts: Mounts;
}

/** A volume and its branches: what is done to the volume as far as it concerns them. */
export class Families {
  readonly #parts: FamiliesParts;

  constructor(parts: FamiliesParts) {
    this.#parts = parts;
  }

  /**
   * What a new name of a volume changes: its branches are renamed with it.
   *
   * @throws {Failure} `failed_precondition` when it is a branch, or one of them is in use (engines know volumes by
   * name).
   */
  async planRename(volume: Volume, to: VolumeName, signal: AbortSignal): Promise<RenamePlan> {
    if (volume.branch !== null) {
      throw new Failure(
        "failed_precondition",
        `Cannot rename branch "${volume.name}": it has the name of its volume; rename that`,
      );
    }
    const branches = await this.#branchesOf(volume);
    const lines = [volume, ...branches.map(({ value }) => value)];
    for (const line of lines) {
      await this.#parts.mounts.ensureUnused(line, "rename", { askEngines: true }, signal);
    }
    const renamed = branches.map(({ value }) => ({
      before: value.name,
      value: { ...value, name: value.branch === null ? to : lineName(to, value.branch.name) },
    }));
    return {
      writes: [
        freeName(volume.name),
        claimName(to, volume.id),
        ...renamed.flatMap(({ before, value }) => [
          putVolume(value),
          freeName(before),
          claimName(value.name, value.id),
        ]),
      ],
      unchanged: branches,
      free: [to, ...renamed.map(({ value }) => value.name)],
    };
  }

  /** @throws {Failure} `failed_precondition` naming them. */
  async ensureNoBranches(volume: Volume): Promise<void> {
    const branches = await this.#branchesOf(volume);
    const [first] = branches;
    if (first === undefined) return;
    const names = branches.map(({ value }) => value.name).join(", ");
    throw new Failure(
      "failed_precondition",
      `Cannot remove volume "${volume.name}": it has branches (${names}); remove them first: lagan branch rm ${volume.name} ${first.value.branch?.name}`,
    );
  }

  async #branchesOf(volume: Volume): Promise<readonly Recorded<Volume>[]> {
    const all = await this.#parts.records.listVolumes();
    return all.filter(
      ({ value }) =>
        value.branch?.of === volume.id &&
        (value.status.state === "ready" || value.status.state === "creating"),
    );
  }
}
