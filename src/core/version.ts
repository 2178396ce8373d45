/** This release, as `lagan version` shows it; equal to `version` in package.json, which a test holds. */
export const VERSION = "0.1.0";
