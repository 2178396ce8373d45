import { controllerWorks } from "../../src/api/csi/controller.ts";
import type { CsiDoor, CsiSettings } from "../../src/api/csi/door.ts";
import { groupWorks } from "../../src/api/csi/groups.ts";
import { Lanes } from "../../src/api/csi/lanes.ts";
import { nodeWorks } from "../../src/api/csi/node.ts";
import type {
  ControllerService,
  CreateVolumeRequest,
  GroupControllerService,
  NodeService,
  VolumeCapability,
} from "../../src/api/shared/generated/csi.ts";
import type { Call, Works } from "../../src/api/shared/grpc-service.ts";
import { parsePoolName } from "../../src/core/name.ts";
import type { Services } from "../../src/services/services.ts";
import { World } from "./world.ts";

/** The functions of a service, with what of a request is not empty. */
type Calls<Definition> = {
  readonly [Name in keyof Works<Definition>]: Works<Definition>[Name] extends (
    request: infer Request,
    call: Call,
  ) => infer Response
    ? (request?: Partial<Request>) => Response
    : never;
};

/** A CSI driver on a simulated machine, called without a socket. */
export interface Csi {
  readonly world: World;
  readonly services: Services;
  readonly controller: Calls<typeof ControllerService>;
  readonly node: Calls<typeof NodeService>;
  readonly groups: Calls<typeof GroupControllerService>;
}

/** Where volumes are staged and published; what is in them is there. */
export const STAGING = "/var/lib/kubelet/staging";
export const TARGET = "/var/lib/kubelet/pods/a/target";
export const OTHER_TARGET = "/var/lib/kubelet/pods/b/target";

const NO_CALL: Call = { signal: new AbortController().signal, header: () => undefined };
/** Every field that a request may have, empty as on the wire. */
const EMPTY = {
  ...{
    name: "",
    volumeId: "",
    nodeId: "",
    snapshotId: "",
    sourceVolumeId: "",
    groupSnapshotId: "",
  },
  ...{ stagingTargetPath: "", targetPath: "", volumePath: "", startingToken: "", readonly: false },
  ...{ maxEntries: 0, volumeCapabilities: [], sourceVolumeIds: [], snapshotIds: [] },
  ...{ parameters: {}, mutableParameters: {}, secrets: {}, volumeContext: {}, publishContext: {} },
};

/** Begins: a machine with a driver. */
export async function csiOn(
  world: World = new World(),
  settings: Partial<CsiSettings> = {},
): Promise<Csi> {
  for (const path of [STAGING, "/var/lib/kubelet/pods/a", "/var/lib/kubelet/pods/b"]) {
    world.machine.init.makeDirectories(path);
  }
  const { services } = await world.boot();
  const door: CsiDoor = {
    services,
    settings: { node: "n1", maxVolumes: 0, health: false, expandBy: "controller", ...settings },
    defaultPool: parsePoolName("default"),
    version: "0",
    lanes: new Lanes(200),
    log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
    giveToGroup: async () => {},
    realDirectory: async (path) => path,
    signal: world.signal,
  };
  return {
    ...{ world, services },
    controller: calls(controllerWorks(door)),
    node: calls(nodeWorks(door)),
    groups: calls(groupWorks(door)),
  };
}

function calls<Definition>(works: Works<Definition>): Calls<Definition> {
  const functions = Object.entries(works as Record<string, unknown>).map(([name, work]) => {
    const call = work as (request: object, call: Call) => unknown;
    return [name, async (request: object = {}) => call({ ...EMPTY, ...request }, NO_CALL)];
  });
  return Object.fromEntries(functions) as Calls<Definition>;
}

/** A capability: of a mount, with this number of an access mode. */
export function mode(number: number, mountFlags: string[] = []): VolumeCapability {
  return {
    accessMode: { mode: number as 1 },
    accessType: { $case: "mount", value: { fsType: "", mountFlags, volumeMountGroup: "" } },
  };
}

/** Makes a volume; answers its id. */
export async function made(
  { controller }: Csi,
  name: string,
  request: Partial<CreateVolumeRequest> = {},
): Promise<string> {
  const { volume } = await controller.createVolume({
    name,
    volumeCapabilities: [mode(7)],
    ...request,
  });
  return volume?.volumeId ?? "";
}

/** Stages and publishes. */
export async function used(
  { node }: Csi,
  volumeId: string,
  number = 7,
  targetPath: string = TARGET,
  readonly = false,
): Promise<void> {
  const volumeCapability = mode(number);
  const staged = { volumeId, stagingTargetPath: STAGING, volumeCapability };
  await node.nodeStageVolume(staged);
  await node.nodePublishVolume({ ...staged, targetPath, readonly });
}

/** The mount points that the machine has at or below a path. */
export async function mountsAt({ world }: Csi, path: string): Promise<readonly string[]> {
  const table = await world.machine.start().kernel.mountTable();
  return table
    .map(({ mountPoint }) => mountPoint)
    .filter((point) => point === path || point.startsWith(`${path}/`));
}
