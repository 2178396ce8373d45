import { type DriverOptions, ensureKnown } from "../shared/options.ts";

/** @throws {Failure} `invalid_argument`: this driver has no options. */
export function parseOverlayOptions(options: DriverOptions): void {
  ensureKnown("overlay", options, []);
}
