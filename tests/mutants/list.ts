import { HISTORY_MUTANTS } from "./history-mutants.ts";
import { LAYER_MUTANTS } from "./layer-mutants.ts";
import type { Mutant } from "./mutant.ts";
import { STORE_MUTANTS } from "./store-mutants.ts";
import { VOLUME_MUTANTS } from "./volume-mutants.ts";

/** The standing list. Each must be killed: `npm run mutants`. */
export const MUTANTS: readonly Mutant[] = [
  ...VOLUME_MUTANTS,
  ...HISTORY_MUTANTS,
  ...LAYER_MUTANTS,
  ...STORE_MUTANTS,
];
