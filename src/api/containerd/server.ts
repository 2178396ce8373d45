import { setFlagsFromString } from "node:v8";
import type { Log } from "../../core/ports/log.ts";
import type { LayerFilling } from "../../services/layer-filling.ts";
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
  readonly filling: LayerFilling;
  readonly log: Log;
}

/** The door for containerd, and for what speaks to it: a proxy plugin of type `snapshot`. */
export function containerdDoor({ layerStore, filling, log }: ContainerdOptions): GrpcDoor {
  return grpcDoor(async () => {
    // The daemon is started to take little memory. Here each call counts, since its callers hold locks meanwhile: some 13 MB more
    // are a third less of processor time. No other door pays: this one is opened by its first client.
    setFlagsFromString("--no-optimize-for-size");
    const [{ SnapshotsService }, { grpcService }, { snapshotRoutes }, { Snapshotter }] =
      await Promise.all([
        import("../shared/generated/containerd-snapshots.ts"),
        import("../shared/grpc-service.ts"),
        import("./routes.ts"),
        import("./snapshotter.ts"),
      ]);
    const works = snapshotRoutes(new Snapshotter(layerStore, filling));
    return [grpcService(SnapshotsService, works, { door: "containerd", log, quiet: QUIET })];
  }, log);
}
