import type { PoolName } from "../core/name.ts";
import type { PoolSpec } from "../core/pool/pool.ts";
import type { Archive } from "../core/ports/archive.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { Engine } from "../core/ports/engine.ts";
import type { Files } from "../core/ports/files.ts";
import type { Hash } from "../core/ports/hash.ts";
import type { ImageSources } from "../core/ports/image-source.ts";
import type { Kernel } from "../core/ports/kernel.ts";
import type { LayerTar } from "../core/ports/layer-tar.ts";
import type { Log } from "../core/ports/log.ts";
import type { Random } from "../core/ports/random.ts";
import type { Store } from "../core/ports/store.ts";
import type { ProfileTable } from "../core/volume/profile.ts";
import { Attachments } from "./attachments.ts";
import { BlockDevices } from "./block-devices.ts";
import { Branches } from "./branches.ts";
import { Doctor } from "./doctor.ts";
import { EventLog } from "./event-log.ts";
import { Families } from "./families.ts";
import { History } from "./history.ts";
import { Housekeeping } from "./housekeeping.ts";
import { ImageSeeds } from "./image-seeds.ts";
import { buildImages } from "./images-parts.ts";
import { KeyedQueue } from "./keyed-queue.ts";
import { LayerFilling } from "./layer-filling.ts";
import { buildLayerStore } from "./layer-store-parts.ts";
import { Layers } from "./layers.ts";
import { Mounts } from "./mounts.ts";
import { Operations } from "./operations.ts";
import { Origins } from "./origins.ts";
import { type PoolMaker, Pools } from "./pools.ts";
import { Profiles } from "./profiles.ts";
import { Quiet } from "./quiet.ts";
import { Reconcile } from "./reconcile.ts";
import { Records } from "./records.ts";
import { Resizes } from "./resizes.ts";
import { Restores } from "./restores.ts";
import { Schedules } from "./schedules.ts";
import type { Services } from "./services.ts";
import { Shadows } from "./shadows.ts";
import { SnapshotMaking } from "./snapshot-making.ts";
import { SnapshotTrash } from "./snapshot-trash.ts";
import { Snapshots } from "./snapshots.ts";
import { Staging } from "./staging.ts";
import { Targets } from "./targets.ts";
import { Trash } from "./trash.ts";
import { Usage } from "./usage.ts";
import { VolumeMaking } from "./volume-making.ts";
import { Volumes } from "./volumes.ts";

/** The machine as a node needs it: real in the daemon, simulated in tests. */
export interface NodePorts {
  /** Durable records. */
  readonly store: Store;
  /** Records that survive a restart of the daemon but not of the machine. */
  readonly runtime: Store;
  readonly maker: PoolMaker;
  readonly kernel: Kernel;
  readonly files: Files;
  readonly engines: readonly Engine[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Left out: images are refused. */
  readonly images?: ImagePorts;
}

/** What images need of the machine. */
export interface ImagePorts {
  readonly sources: ImageSources;
  readonly layerTar: LayerTar;
  readonly archive: Archive;
  readonly hash: Hash;
}

/** What people decide. */
export interface NodeSettings {
  readonly pools: readonly PoolSpec[];
  readonly defaultPool: PoolName;
  /** Where layers of engines and images lie; null: the default pool where that suits them, else one of their own. */
  readonly layersPool?: PoolName | null;
  /** Socket of the door for containerd; absent: there is none. */
  readonly snapshotsSocket?: string;
  /** Those of the configuration. */
  readonly profiles: ProfileTable;
  /** How long removed volumes stay in the trash, in milliseconds; 0: not at all; null: until it is emptied. */
  readonly trashKeepMs: number | null;
  /** Where layers are mounted that are no plain directories; canonical, absolute, in /run. */
  readonly mountsDirectory: string;
}

/** One daemon's worth of services. */
export interface Node {
  readonly services: Services;
  readonly reconcile: Reconcile;
  readonly shadows: Shadows;
  readonly housekeeping: Housekeeping;
  /** Brings pools up and carries on what a crash cut off. Before it resolves nothing may be answered. */
  start(signal: AbortSignal): Promise<void>;
}

/** Name under which engines know this daemon: that of its plugin socket. */
export const DRIVER_NAME = "lagan";

/** Everything that decides, built by hand. */
export function buildNode(ports: NodePorts, settings: NodeSettings): Node {
  const { store, runtime, maker, kernel, files, engines, clock, random, log } = ports;
  const records = new Records(store);
  const queue = new KeyedQueue();
  const events = new EventLog(clock, log);
  const pools = new Pools({ records, maker, events, clock, log });
  const operations = new Operations(records, clock, random);
  const staging = new Staging({ kernel, files, queue, directory: settings.mountsDirectory });
  const devices = new BlockDevices(ports);
  const mounts = new Mounts({ ...ports, pools, staging, devices, queue });
  const quiet = new Quiet({ records, mounts, engines, events, clock, random, log });
  const layers = new Layers({ pools, staging, kernel });
  const layerStore = buildLayerStore({
    ...{ store, pools, layers, events, queue, clock, random, log },
    ...{ defaultPool: settings.defaultPool, configured: settings.layersPool ?? null },
  });
  const filling = new LayerFilling({ files, clock });
  const images = buildImages({
    ...{ store, records, layers, layerStore, operations, events, queue, clock, random, log },
    ports: ports.images,
  });
  const usage = new Usage({ pools, queue, clock, log });
  const history = new History(records);
  const base = { records, history, operations, pools, mounts, events, queue, clock, random, log };
  const seeds = new ImageSeeds({ images, layers, pools, records, files, log, ports: ports.images });
  const restores = new Restores({ ...base, quiet });
  const resizes = new Resizes(base);
  const profiles = new Profiles({ ...base, configured: settings.profiles });
  const lines = buildLines({ ...base, quiet, seeds, profiles }, settings);
  const { trash, snapshotTrash, snapshots, volumes } = lines;
  const schedules = new Schedules({
    ...{ volumes, pools, events, clock, log },
    snapshots: {
      create: (line, request, signal) => snapshots.create(line, request, signal),
      list: (line) => history.list(line),
      discard: (line, snapshot, signal) => snapshotTrash.discard(line, snapshot, signal),
    },
  });
  const branches = new Branches({ volumes, snapshots });
  const targets = new Targets({ runtime, volumes, mounts, kernel, files, log });
  const attachments = new Attachments(base);
  const reconcile = new Reconcile({
    ...{ ...base, ...lines, restores, resizes, images },
    isKept: (layer) => layerStore.findLayer(layer) !== undefined,
  });
  const shadows = new Shadows({ volumes, engines, events, log, driverName: DRIVER_NAME });
  const doctor = new Doctor({
    ...{ pools, reconcile, shadows, operations, trash, engines, clock, files },
    driverName: DRIVER_NAME,
    snapshotsSocket: settings.snapshotsSocket ?? "",
  });
  const housekeeping = new Housekeeping({
    ...{ pools, operations, reconcile, trash, snapshotTrash, mounts, usage, volumes, shadows },
    ...{ history, quiet, schedules, layerStore, seeds, clock, log },
  });
  return {
    services: {
      ...{ volumes, history, snapshots, restores, resizes, branches, layers, layerStore },
      ...{ trash, snapshotTrash, mounts, usage, pools, operations, events, doctor, quiet },
      ...{ profiles, schedules, images, targets, attachments, filling },
    },
    reconcile,
    shadows,
    housekeeping,
    start: async (signal) => {
      await pools.openAll(settings.pools, signal);
      await layerStore.open(signal);
      filling.open(signal);
      await images.open();
      await reconcile.start(signal);
    },
  };
}

type LineParts = Omit<
  ConstructorParameters<typeof VolumeMaking>[0] & ConstructorParameters<typeof Snapshots>[0],
  "trash" | "origins" | "making" | "defaultPool"
>;

/** What makes, keeps and removes volumes, branches and their snapshots. */
function buildLines(parts: LineParts, { trashKeepMs, defaultPool }: NodeSettings) {
  const { records } = parts;
  const trash = new Trash(parts);
  const snapshotTrash = new SnapshotTrash({ ...parts, trashKeepMs });
  const snapshotMaking = new SnapshotMaking({ ...parts, trash: snapshotTrash });
  const snapshots = new Snapshots({ ...parts, trash: snapshotTrash, making: snapshotMaking });
  const origins = new Origins({ ...parts, making: snapshotMaking, snapshots });
  const volumeMaking = new VolumeMaking({ ...parts, trash, origins, defaultPool });
  const families = new Families({ records, mounts: parts.mounts });
  const volumes = new Volumes({ ...parts, trash, trashKeepMs, making: volumeMaking, families });
  return { trash, snapshotTrash, snapshotMaking, snapshots, volumeMaking, volumes };
}
