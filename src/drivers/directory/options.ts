import { type DriverOptions, ensureKnown } from "../shared/options.ts";

/** @throws {Failure} `invalid_argument`: this driver has no options. */
export function parseDirectoryOptions(options: DriverOptions): void {
  ensureKnown("directory", options, []);
}
