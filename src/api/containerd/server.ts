import type { Log } from "../../core/ports/log.ts";
import type { LayerStore } from "../../services/layer-store.ts";
import { type GrpcDoor, grpcDoor } from "../shared/grpc-door.ts";

/** Calls that come all the time. */
const QUIET: ReadonlySet<string> = new Set([
  ...[
    "prepare",
    "view",
    "mounts",
    "commit",
    "remove",
    "stat",
    "update",
    "list",
    "usage",
    "cleanup",
  ],
]);

/** What the door needs. */
interface ContainerdOptions {
  readonly layerStore: LayerStore;
  readonly log: Log;
}

/** The door for containerd, and for what speaks to it: a proxy plugin of type `snapshot`. */
export function containerdDoor({ layerStore, log }: ContainerdOptions): GrpcDoor {
  return grpcDoor(async () => {
    const [{ SnapshotsService }, { grpcService }, { snapshotRoutes }, { Snapshotter }] =
      await Promise.all([
        import("../shared/generated/containerd-snapshots.ts"),
        import("../shared/grpc-service.ts"),
        import("./routes.ts"),
        import("./snapshotter.ts"),
      ]);
    const works = snapshotRoutes(new Snapshotter(layerStore));
    return [grpcService(SnapshotsService, works, { door: "containerd", log, quiet: QUIET })];
  }, log);
}
