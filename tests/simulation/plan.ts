import type { SimRandom } from "../../src/sim/random.ts";

/** Kinds of trouble; each seed has about half of them. */
export const TROUBLES = [
  "crash",
  "powerCut",
  "errors",
  "slow",
  "diskFull",
  "wallJump",
  "poolFault",
  "impatience",
  "reorder",
  "engineSilent",
] as const;

export type Trouble = (typeof TROUBLES)[number];

/** What one seed is about: everything that differs from schedule to schedule. */
export interface Plan {
  readonly seed: number;
  readonly troubles: ReadonlySet<Trouble>;
  /** Chances per 10,000 calls. */
  readonly errorsPer10k: number;
  readonly slowPer10k: number;
  /** How many calls may pass each other: `maxTurns` of the machine. */
  readonly maxTurns: number;
  readonly users: number;
  readonly requestsPerUser: number;
  readonly incidents: number;
  /** Few names: requests meet. */
  readonly names: number;
  readonly trashKeepMs: number | null;
  readonly driver: "btrfs" | "directory";
  /** A layer that no volume has lies in the pool from the start. */
  readonly orphan: boolean;
}

const KEEPS_MS = [0, 30_000, 120_000, 86_400_000, 86_400_000, null] as const;

/** The plan of a seed. */
export function planOf(seed: number, random: SimRandom): Plan {
  const troubles = new Set(TROUBLES.filter(() => random.below(2) === 0));
  return {
    seed,
    troubles,
    errorsPer10k: troubles.has("errors") ? 20 + random.below(500) : 0,
    slowPer10k: troubles.has("slow") ? 50 + random.below(800) : 0,
    maxTurns: troubles.has("reorder") ? 2 + random.below(6) : 1,
    users: 1 + random.below(4),
    requestsPerUser: 3 + random.below(8),
    incidents: 1 + random.below(4),
    names: 1 + random.below(4),
    trashKeepMs: KEEPS_MS[random.below(KEEPS_MS.length)] ?? null,
    driver: random.below(4) === 0 ? "directory" : "btrfs",
    orphan: random.below(8) === 0,
  };
}
