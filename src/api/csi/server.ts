import {
  ControllerService,
  GroupControllerService,
  IdentityService,
  NodeService,
} from "../shared/generated/csi.ts";
import { type GrpcService, grpcService } from "../shared/grpc-service.ts";
import { controllerWorks } from "./controller.ts";
import type { CsiDoor } from "./door.ts";
import { groupWorks } from "./groups.ts";
import { identityWorks } from "./identity.ts";
import { Lanes } from "./lanes.ts";
import { nodeWorks } from "./node.ts";

/** Calls that clients make all the time. */
const QUIET: ReadonlySet<string> = new Set([
  "probe",
  "getPluginInfo",
  "getPluginCapabilities",
  "controllerGetCapabilities",
  "nodeGetCapabilities",
  "nodeGetVolumeStats",
  "getCapacity",
  "listVolumes",
]);

/** The Container Storage Interface, 1.12 and, when people turn it on, 1.13. Requests are never logged: they hold secrets. */
export function csiServices(parts: Omit<CsiDoor, "lanes">): readonly GrpcService[] {
  const door: CsiDoor = { ...parts, lanes: new Lanes() };
  const report = { door: "csi", log: parts.log, quiet: QUIET };
  return [
    grpcService(IdentityService, identityWorks(door), report),
    grpcService(ControllerService, controllerWorks(door), report),
    grpcService(GroupControllerService, groupWorks(door), report),
    grpcService(NodeService, nodeWorks(door), report),
  ];
}
