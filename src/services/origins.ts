import { Failure } from "../core/failure.ts";
import { lineName, type Ref } from "../core/history/ref.ts";
import type { PointName, Snapshot } from "../core/history/snapshot.ts";
import type { SnapshotId } from "../core/id.ts";
import type { VolumeName } from "../core/name.ts";
import type { Origin } from "../core/volume/spec.ts";
import type { Volume } from "../core/volume/volume.ts";
import type { History } from "./history.ts";
import type { Recorded, Records } from "./records.ts";
import type { SnapshotMaking, Unshown } from "./snapshot-making.ts";
import type { Snapshots } from "./snapshots.ts";
import { exists } from "./volume-rules.ts";

/** What is to be in the transaction that records a volume made from a snapshot. */
export type Shown = Pick<Unshown, "writes" | "when">;

/** A creation that is going on. */
export interface Making<T> {
  /** Resolves when its intent is written. */
  readonly recorded: Promise<unknown>;
  /** Rejects after the creation is taken back, or is left for later. */
  readonly ready: Promise<T>;
}

/** What `from` of a creation names: a snapshot, or a volume or branch of which one is to be taken. */
type Start = Origin & ({ readonly found: Recorded<Snapshot> } | { readonly live: VolumeName });

/** What {@link Origins} works with. */
interface OriginsParts {
  readonly records: Records;
  readonly history: History;
  readonly making: SnapshotMaking;
  readonly snapshots: Snapshots;
}

/** What clones and branches start from. */
export class Origins {
  readonly #parts: OriginsParts;
  /** How many creations that start from a snapshot are under way. */
  readonly #starting = new Map<SnapshotId, number>();

  constructor(parts: OriginsParts) {
    this.#parts = parts;
  }

  /**
   * What a volume is to start from. When that is a volume that lives, and `existing` was made from a snapshot taken of
   * it for that, it is this snapshot.
   *
   * @throws {Failure} `not_found`; `already_exists` when `existing` started elsewhere than from a volume that lives.
   */
  async get(from: Ref, existing: Volume | undefined): Promise<Start> {
    const { history } = this.#parts;
    const line = await this.#findLine(from);
    if (line === undefined && from.at === null) {
      throw new Failure(
        "not_found",
        `Cannot start from volume "${from.volume}": it does not exist`,
      );
    }
    if (line === undefined) {
      const { snapshot, line: of } = await history.get(from);
      return { snapshot: snapshot.value, spec: of.value.spec, found: snapshot };
    }
    if (existing === undefined) return { snapshot: null, spec: line.spec, live: line.name };
    const own = await history.list(line.name);
    const found = own.find(
      ({ value }) => value.id === existing.spec.from && value.cause === "clone",
    );
    if (found !== undefined) return { snapshot: found.value, spec: line.spec, found };
    const started = existing.spec.from === null ? "nothing" : "another snapshot";
    throw exists(existing.name, [
      `from: it started from ${started}, asked was what "${line.name}" holds now`,
    ]);
  }

  /**
   * Makes something from an origin. Of what lives a snapshot is taken, which is shown together with what is made; when
   * `make` fails, it is removed.
   *
   * It is called in the lane of the new volume's name, and waits for that of the volume that lives. No two wait for each
   * other: while a creation has its lane there is no volume of that name, and so nobody who looks then starts from it.
   *
   * @throws {Failure} `aborted` when the snapshot is being changed or removed; what taking a snapshot and `make` throw.
   */
  async use<T>(
    start: Start,
    request: { readonly message: string; readonly author: string },
    make: (snapshot: Snapshot, shown: Shown) => Making<T>,
    signal: AbortSignal,
  ): Promise<T> {
    if ("found" in start) {
      const { found } = start;
      const shown = { writes: [], when: { unchangedSnapshots: [found] } };
      return this.#around(found.value.id, () => make(found.value, shown).ready);
    }
    const { taken, ready } = await this.#parts.making.takeFor(
      start.live,
      { ...request, cause: "clone" },
      async (unshown) => {
        const begun = make(unshown.snapshot, unshown);
        begun.ready.catch(() => undefined);
        // When it is not written, what was made beside that goes before the snapshot does.
        await begun.recorded.catch(() => begun.ready);
        return { taken: unshown.snapshot, ready: begun.ready };
      },
      signal,
    );
    try {
      return await ready;
    } catch (thrown) {
      await this.#forget(taken, signal);
      throw thrown;
    }
  }

  /** The snapshot that a volume starts from; null: none; undefined: it is gone. */
  async find({ spec: { from } }: Volume): Promise<Snapshot | null | undefined> {
    if (from === null) return null;
    const all = await this.#parts.records.listSnapshots();
    return all.find(({ value }) => value.id === from)?.value;
  }

  async #around<T>(id: SnapshotId, work: () => Promise<T>): Promise<T> {
    this.#starting.set(id, (this.#starting.get(id) ?? 0) + 1);
    try {
      return await work();
    } finally {
      const left = (this.#starting.get(id) ?? 1) - 1;
      if (left > 0) this.#starting.set(id, left);
      else this.#starting.delete(id);
    }
  }

  /** Removes what was taken for something that failed, unless something stands on it: that, or what somebody else made of it. */
  async #forget({ volume, id }: Snapshot, signal: AbortSignal): Promise<void> {
    const { records, snapshots } = this.#parts;
    const found = await records.findSnapshot(volume, id);
    // Last: who ended before this is listed, who has not is among those that are starting.
    const isUsed = (await records.listVolumes()).some(
      ({ value }) => value.spec.from === id && value.status.state !== "removing",
    );
    // Whoever begins after this has a snapshot that changed.
    if (isUsed || this.#starting.has(id) || found?.value.status.state !== "ready") return;
    await snapshots.forget(found, signal);
  }

  /** The volume or branch that `ref` names; undefined when it names a snapshot. */
  async #findLine({ volume, at }: Ref): Promise<Volume | undefined> {
    const name = at === null ? volume : lineName(volume, at as PointName);
    const found = await this.#parts.records.findVolumeByName(name);
    return found?.value.status.state === "ready" ? found.value : undefined;
  }
}
