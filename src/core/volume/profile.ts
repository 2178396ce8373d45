import { Failure } from "../failure.ts";
import type { ProfileName } from "../name.ts";
import type { UnixMs } from "../ports/clock.ts";
import { mergeSchedule } from "../schedule/schedule.ts";
import { parseVolumeOptions, type VolumeOptions } from "./options.ts";
import type { Volume } from "./volume.ts";

/** Named defaults for new volumes: the same options, without a profile or an origin of its own. */
export type Profile = Omit<VolumeOptions, "profile" | "from">;

/** The record of a profile that was made by command. */
export interface ProfileRecord {
  readonly name: ProfileName;
  readonly profile: Profile;
  readonly createdAt: UnixMs;
}

/** Profiles by their name. */
export type ProfileTable = ReadonlyMap<ProfileName, Profile>;

/** What a volume's profile may have said when it was made: what the volume is. */
export function profileOf({ spec, schedule }: Volume): Profile {
  const { pool, sizeBytes, uid, gid, mode } = spec;
  return {
    pool,
    ...(sizeBytes !== null && { sizeBytes }),
    ...(uid !== null && { uid }),
    ...(gid !== null && { gid }),
    ...(mode !== null && { mode }),
    everyMs: schedule?.everyMs ?? null,
    labels: {},
  };
}

/**
 * Reads a profile's options: those of a volume.
 *
 * @throws {Failure} `invalid_argument`, `out_of_range` as for a volume; also for a profile or an origin in a profile, and for what
 * to keep without a schedule.
 */
export function parseProfile(options: Readonly<Record<string, string>>): Profile {
  const { profile, from, ...rest } = parseVolumeOptions(options);
  if (profile !== undefined || from !== undefined) {
    const [option, what] = profile === undefined ? ["from", "an origin"] : ["profile", "a profile"];
    throw new Failure(
      "invalid_argument",
      `Cannot use option ${option}: a profile cannot have ${what}`,
    );
  }
  mergeSchedule(null, rest);
  return rest;
}
