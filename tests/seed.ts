import fc from "fast-check";

/*
 * All properties of a test run start from one seed, so that a change of code alone turns a run from green to red. New
 * seeds are for `npm run fuzz` and for SEED=random. For vitest's `setupFiles`.
 */

const DEFAULT_SEED = 20_261_121;
const asked = process.env["SEED"];

if (asked !== "random") {
  fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(asked ?? DEFAULT_SEED) });
}
