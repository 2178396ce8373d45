import { Failure } from "../core/failure.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Engine } from "../core/ports/engine.ts";
import type { Files } from "../core/ports/files.ts";
import { formatBytes } from "../core/size.ts";
import { examineContainerd } from "./doctor-containerd.ts";
import { examineEngines } from "./doctor-engines.ts";
import type { Operations } from "./operations.ts";
import type { Pools } from "./pools.ts";
import { inWords, type Reconcile } from "./reconcile.ts";
import type { Shadows } from "./shadows.ts";
import type { Trash } from "./trash.ts";

/** What one look found. */
export interface Finding {
  readonly level: "ok" | "warn" | "error";
  /** What was looked at, a few words. */
  readonly check: string;
  /** What was seen: one sentence. */
  readonly saw: string;
  /** Why it matters, and what to type or do. Absent when all is well. */
  readonly advice?: string;
}

/** Share of a pool's room below which a person should act. */
const LOW_ROOM = 0.1;
/** How long an operation may run before a person should look, in milliseconds. */
const LONG_OPERATION_MS = 10 * 60_000;

/** What {@link Doctor} works with. */
interface DoctorParts {
  readonly pools: Pools;
  readonly reconcile: Reconcile;
  readonly shadows: Shadows;
  readonly operations: Operations;
  readonly trash: Trash;
  readonly engines: readonly Engine[];
  /** Ours, as engines know it. */
  readonly driverName: string;
  readonly clock: Clock;
  readonly files: Files;
  /** Socket of the door for containerd; empty: there is none. */
  readonly snapshotsSocket: string;
}

/** Looks the whole node over and says what is wrong, why it matters, and what to type. */
export class Doctor {
  readonly #parts: DoctorParts;

  constructor(parts: DoctorParts) {
    this.#parts = parts;
  }

  /** Every check, in the order in which to read them. A check that cannot be made is a finding itself. */
  async examine(signal: AbortSignal): Promise<readonly Finding[]> {
    // First, so that no check runs into a pool that has just failed: the others pass it over then.
    await this.#parts.pools.refresh(signal);
    const { engines, driverName, files, snapshotsSocket } = this.#parts;
    const checks: readonly [string, () => Promise<readonly Finding[]>][] = [
      ["pools", () => this.#pools(signal)],
      ["records and pools", () => this.#disagreement(signal)],
      ["operations", () => this.#operations()],
      ["engines", () => examineEngines(engines, driverName, signal)],
      ["containerd", () => examineContainerd(files, snapshotsSocket)],
      ["shadowed volumes", () => this.#shadows(signal)],
      ["trash", () => this.#trash()],
    ];
    const findings = await Promise.all(
      checks.map(([check, look]) =>
        look().catch((thrown: unknown): readonly Finding[] => [
          {
            level: "error",
            check,
            saw: `it could not be looked at: ${Failure.from(thrown).message}`,
          },
        ]),
      ),
    );
    return findings.flat();
  }

  async #pools(signal: AbortSignal): Promise<readonly Finding[]> {
    const { pools } = this.#parts;
    const statuses = await Promise.all(pools.names().map((name) => pools.status(name, signal)));
    return statuses.flatMap(({ pool, health, space, facts, traits }): Finding[] => {
      const check = `pool ${pool.name}`;
      if (health.state === "faulted") {
        return [
          {
            level: "error",
            check,
            saw: `it is faulted: ${health.why}`,
            advice: "Its volumes cannot be mounted until this is mended; those of other pools can.",
          },
        ];
      }
      const found: Finding[] = [];
      if (health.state === "warning") found.push({ level: "warn", check, saw: health.why });
      if (facts["loopBacked"] === true) {
        found.push({
          level: "warn",
          check,
          saw: "it lies in a file (loop-backed): good for trying and for development",
          advice:
            "For real use give it a disk: pools: { fast: { driver: btrfs, device: /dev/DISK } } in lagan.yaml.",
        });
      }
      if (facts["reflink"] === false) {
        found.push({
          level: "warn",
          check,
          saw: `it lies on ${facts["fileSystem"]}, which cannot share the bytes of a file: the first write to a file of an earlier snapshot ${facts["firstWrite"]}`,
          advice:
            "A container waits for that: of 1 GiB 583 ms on ext4, 0.6 ms on XFS. Put the pool on XFS or btrfs, or use driver btrfs.",
        });
      }
      if (space !== null && space.availableBytes < space.totalBytes * LOW_ROOM) {
        found.push({
          level: "warn",
          check,
          saw: `only ${formatBytes(space.availableBytes)} of ${formatBytes(space.totalBytes)} are left`,
          advice:
            "Writers get errors when it is full. Free some: lagan trash empty, lagan volume du; or give the pool more room.",
        });
      }
      if (traits.sizeLimit === false) {
        found.push({
          level: "warn",
          check,
          saw: `driver ${pool.driver} cannot limit the size of a volume`,
          advice: "One volume can fill the disk for all. For limits use a pool on btrfs.",
        });
      }
      const room =
        space === null
          ? ""
          : `, ${formatBytes(space.availableBytes)} of ${formatBytes(space.totalBytes)} free`;
      if (found.length === 0)
        found.push({ level: "ok", check, saw: `${pool.driver}, serves${room}` });
      return found;
    });
  }

  async #disagreement(signal: AbortSignal): Promise<readonly Finding[]> {
    const check = "records and pools";
    const { orphans, lost, damaged } = await this.#parts.reconcile.compare(signal);
    const found: Finding[] = [
      ...damaged.map(
        (key): Finding => ({
          level: "error",
          check,
          saw: `the record "${key}" cannot be read`,
          advice:
            "What it describes is not shown; its content in the pool is untouched. Restore the store from a backup, or go back to the version that wrote it.",
        }),
      ),
      ...orphans.map(
        ({ pool, layer }): Finding => ({
          level: "warn",
          check,
          saw: `pool "${pool}" holds layer ${layer}, which belongs to no volume and no snapshot`,
          advice:
            "It takes room and nothing removes it by itself. It can come from a store that was set back to an older copy: look into it before you remove it.",
        }),
      ),
      ...lost.map(
        (one): Finding => ({
          level: "error",
          check,
          saw: inWords(one),
          advice:
            "It is not mounted, so that no container starts on an empty one. Restore the pool or the volume from a backup.",
        }),
      ),
    ];
    return found.length > 0
      ? found
      : [{ level: "ok", check, saw: "every volume has its content, nothing is left over" }];
  }

  async #operations(): Promise<readonly Finding[]> {
    const check = "operations";
    const now = this.#parts.clock.now();
    const long = (await this.#parts.operations.list()).filter(
      ({ status, startedAt }) => status.state === "running" && now - startedAt > LONG_OPERATION_MS,
    );
    if (long.length === 0) return [{ level: "ok", check, saw: "none is stuck" }];
    return long.map(({ verb, target, id }) => ({
      level: "warn",
      check,
      saw: `${verb} of "${target}" has not finished (operation ${id})`,
      advice: "It is tried again every minute; the daemon's log says why it fails.",
    }));
  }

  async #shadows(signal: AbortSignal): Promise<readonly Finding[]> {
    const check = "shadowed volumes";
    const shadows = await this.#parts.shadows.list(signal);
    if (shadows.length === 0)
      return [
        { level: "ok", check, saw: "no engine hides a volume of ours behind one of its own" },
      ];
    return shadows.map(({ name, driver, engine }) => ({
      level: "error",
      check,
      saw: `${engine} has a volume "${name}" in driver "${driver}", which hides ours of that name from its containers`,
      advice: `Containers see that one, which may be empty. Look what is in it; then stop its containers and: docker volume rm ${name}. It comes from an engine that started while lagand was away: let systemd hold the plugin socket (npm run install:host).`,
    }));
  }

  async #trash(): Promise<readonly Finding[]> {
    const { length } = await this.#parts.trash.list();
    const saw =
      length === 0
        ? "it is empty"
        : `it holds ${length} removed volumes; to free their room: lagan trash empty`;
    return [{ level: "ok", check: "trash", saw }];
  }
}
