import { Failure } from "../core/failure.ts";
import type { ProfileName } from "../core/name.ts";
import type { Clock, UnixMs } from "../core/ports/clock.ts";
import type { VolumeOptions } from "../core/volume/options.ts";
import { type Profile, type ProfileTable, profileOf } from "../core/volume/profile.ts";
import type { Volume } from "../core/volume/volume.ts";
import type { EventLog } from "./event-log.ts";
import type { KeyedQueue } from "./keyed-queue.ts";
import type { Pools } from "./pools.ts";
import { dropProfile, putProfile, type Records } from "./records.ts";

/** A profile and where it comes from. */
export interface NamedProfile {
  readonly name: ProfileName;
  readonly profile: Profile;
  /** When it was made by command; null: it is in the configuration, which only its file changes. */
  readonly createdAt: UnixMs | null;
}

/** What {@link Profiles} works with. */
interface ProfilesParts {
  readonly records: Records;
  readonly pools: Pools;
  readonly configured: ProfileTable;
  readonly events: EventLog;
  readonly queue: KeyedQueue;
  readonly clock: Clock;
}

/** Named defaults for new volumes: those of the configuration, which win, and those made by command. */
export class Profiles {
  readonly #parts: ProfilesParts;

  constructor(parts: ProfilesParts) {
    this.#parts = parts;
  }

  /** By name. */
  async list(): Promise<readonly NamedProfile[]> {
    const { records, configured } = this.#parts;
    const stored = (await records.listProfiles()).filter(({ name }) => !configured.has(name));
    const fixed = [...configured].map(([name, profile]) => ({ name, profile, createdAt: null }));
    return [...stored, ...fixed].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /**
   * {@link list} for planning a volume. Where `found` is there already, its profile is what the volume is: one that was
   * changed or removed since does not make of the same request another one.
   */
  async tableFor({ profile }: VolumeOptions, found: Volume | undefined): Promise<ProfileTable> {
    if (profile === undefined) return new Map();
    if (found?.spec.profile === profile) return new Map([[profile, profileOf(found)]]);
    return new Map((await this.list()).map(({ name, profile }) => [name, profile]));
  }

  /** @throws {Failure} `not_found` naming those that there are. */
  async get(name: ProfileName): Promise<NamedProfile> {
    const all = await this.list();
    const found = all.find((profile) => profile.name === name);
    if (found !== undefined) return found;
    const known = all.map((profile) => profile.name).join(", ") || "none";
    throw new Failure("not_found", `Cannot find profile "${name}"; there is: ${known}`);
  }

  /**
   * Makes a profile. The same again is success; volumes that are there do not change.
   *
   * @throws {Failure} `already_exists` for another of this name; `not_found` for an unknown pool.
   */
  create(name: ProfileName, profile: Profile): Promise<NamedProfile> {
    const { records, pools, configured, events, queue, clock } = this.#parts;
    return queue.run(`profiles/${name}`, async () => {
      if (profile.pool !== undefined) pools.describe(profile.pool);
      const found = (await this.list()).find((one) => one.name === name);
      if (found !== undefined && isSame(found.profile, profile)) return found;
      if (found !== undefined) {
        const what = configured.has(name) ? "change it in lagan.yaml" : "remove it first";
        throw new Failure(
          "already_exists",
          `Cannot create profile "${name}": there is another of that name; ${what}, or take another name`,
        );
      }
      const made = { name, profile, createdAt: clock.now() };
      await records.write([putProfile(made)]);
      const message = `Profile "${name}" was created`;
      events.emit({ type: "profile.created", level: "info", subject: name, message });
      return made;
    });
  }

  /**
   * Removes a profile. Volumes that were made with it keep what they have.
   *
   * @throws {Failure} `not_found`; `failed_precondition` for one of the configuration.
   */
  remove(name: ProfileName): Promise<NamedProfile> {
    const { records, events, queue } = this.#parts;
    return queue.run(`profiles/${name}`, async () => {
      const found = await this.get(name);
      if (found.createdAt === null) {
        throw new Failure(
          "failed_precondition",
          `Cannot remove profile "${name}": it is in lagan.yaml; take it out there and restart the daemon`,
        );
      }
      await records.write([dropProfile(name)]);
      const message = `Profile "${name}" was removed; volumes made with it keep what they have`;
      events.emit({ type: "profile.removed", level: "info", subject: name, message });
      return found;
    });
  }
}

function isSame(a: Profile, b: Profile): boolean {
  return canonical(a) === canonical(b);
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    part !== null && typeof part === "object" && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([x], [y]) => (x < y ? -1 : 1)))
      : part,
  );
}
