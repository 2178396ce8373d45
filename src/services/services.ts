import type { Doctor } from "./doctor.ts";
import type { EventLog } from "./event-log.ts";
import type { Mounts } from "./mounts.ts";
import type { Operations } from "./operations.ts";
import type { Pools } from "./pools.ts";
import type { Profiles } from "./profiles.ts";
import type { Quiet } from "./quiet.ts";
import type { Trash } from "./trash.ts";
import type { Usage } from "./usage.ts";
import type { Volumes } from "./volumes.ts";

/** The use cases, as the doors (APIs) are given them. */
export interface Services {
  readonly volumes: Volumes;
  readonly trash: Trash;
  readonly mounts: Mounts;
  readonly usage: Usage;
  readonly pools: Pools;
  readonly operations: Operations;
  readonly events: EventLog;
  readonly doctor: Doctor;
  readonly quiet: Quiet;
  readonly profiles: Profiles;
}
