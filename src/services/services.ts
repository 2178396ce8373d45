import type { Attachments } from "./attachments.ts";
import type { Branches } from "./branches.ts";
import type { Doctor } from "./doctor.ts";
import type { EventLog } from "./event-log.ts";
import type { History } from "./history.ts";
import type { Images } from "./images.ts";
import type { LayerFilling } from "./layer-filling.ts";
import type { LayerStore } from "./layer-store.ts";
import type { Layers } from "./layers.ts";
import type { Mounts } from "./mounts.ts";
import type { Operations } from "./operations.ts";
import type { Pools } from "./pools.ts";
import type { Profiles } from "./profiles.ts";
import type { Quiet } from "./quiet.ts";
import type { Resizes } from "./resizes.ts";
import type { Restores } from "./restores.ts";
import type { Schedules } from "./schedules.ts";
import type { SnapshotTrash } from "./snapshot-trash.ts";
import type { Snapshots } from "./snapshots.ts";
import type { Targets } from "./targets.ts";
import type { Trash } from "./trash.ts";
import type { Usage } from "./usage.ts";
import type { Volumes } from "./volumes.ts";

/** The use cases, as the doors (APIs) are given them. */
export interface Services {
  readonly volumes: Volumes;
  readonly history: History;
  readonly snapshots: Snapshots;
  readonly restores: Restores;
  readonly resizes: Resizes;
  readonly branches: Branches;
  readonly layers: Layers;
  readonly images: Images;
  /** Layers of engines and images. */
  readonly layerStore: LayerStore;
  readonly filling: LayerFilling;
  readonly trash: Trash;
  readonly snapshotTrash: SnapshotTrash;
  readonly mounts: Mounts;
  readonly targets: Targets;
  readonly attachments: Attachments;
  readonly usage: Usage;
  readonly pools: Pools;
  readonly operations: Operations;
  readonly events: EventLog;
  readonly doctor: Doctor;
  readonly quiet: Quiet;
  readonly profiles: Profiles;
  readonly schedules: Schedules;
}
