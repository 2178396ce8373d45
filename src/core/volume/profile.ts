import { Failure } from "../failure.ts";
import type { ProfileName } from "../name.ts";
import type { UnixMs } from "../ports/clock.ts";
import { mergeSchedule } from "../schedule/schedule.ts";
import { parseVolumeOptions, type VolumeOptions } from "./options.ts";

/** Named defaults for new volumes: the same options, without a profile of its own. */
export type Profile = Omit<VolumeOptions, "profile">;

/** The record of a profile that was made by command. */
export interface ProfileRecord {
  readonly name: ProfileName;
  readonly profile: Profile;
  readonly createdAt: UnixMs;
}

/** Profiles by their name. */
export type ProfileTable = ReadonlyMap<ProfileName, Profile>;

/**
 * Reads a profile's options: those of a volume.
 *
 * @throws {Failure} `invalid_argument`, `out_of_range` as for a volume; also for a profile in a profile, and for what
 * to keep without a schedule.
 */
export function parseProfile(options: Readonly<Record<string, string>>): Profile {
  const { profile, ...rest } = parseVolumeOptions(options);
  if (profile !== undefined) {
    throw new Failure(
      "invalid_argument",
      "Cannot use option profile: a profile cannot have a profile",
    );
  }
  mergeSchedule(null, rest);
  return rest;
}
