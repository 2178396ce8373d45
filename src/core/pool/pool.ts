import type { PoolName } from "../name.ts";
import type { UnixMs } from "../ports/clock.ts";

/** A pool as the configuration asks for it. */
export interface PoolSpec {
  readonly name: PoolName;
  /** A driver's name, or `auto`: look at the machine and choose. */
  readonly driver: string;
  /** Options of the driver, unchecked; each driver parses its own. */
  readonly options: Readonly<Record<string, string>>;
}

/** What a pool is, written down when it is first made, so that later starts never choose otherwise. */
export interface PoolRecord {
  readonly name: PoolName;
  readonly driver: string;
  readonly options: Readonly<Record<string, string>>;
  /** Why this driver: a sentence; for people. */
  readonly why: string;
  readonly createdAt: UnixMs;
  /** True once it has been up: from then on what is missing is lost, and never made anew. */
  readonly opened: boolean;
}
