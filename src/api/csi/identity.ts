import { Failure } from "../../core/failure.ts";
import {
  PluginCapability_VolumeExpansion_Type as ExpansionType,
  type IdentityService,
  type PluginCapability,
  PluginCapability_Service_Type as ServiceType,
} from "../shared/generated/csi.ts";
import type { Works } from "../shared/grpc-service.ts";
import { CSI_DRIVER_NAME, type CsiDoor } from "./door.ts";

/** Who the driver is, and whether it serves. */
export function identityWorks(door: CsiDoor): Works<typeof IdentityService> {
  const { services, settings, version } = door;
  return {
    getPluginInfo: async () => ({
      name: CSI_DRIVER_NAME,
      vendorVersion: version,
      manifest: { node: settings.node },
    }),
    getPluginCapabilities: async () => ({
      capabilities: [
        service(ServiceType.CONTROLLER_SERVICE),
        service(ServiceType.VOLUME_ACCESSIBILITY_CONSTRAINTS),
        service(ServiceType.GROUP_CONTROLLER_SERVICE),
        ...(settings.health ? [service(ServiceType.SNAPSHOT_ACCESSIBILITY_CONSTRAINTS)] : []),
        { type: { $case: "volumeExpansion", value: { type: ExpansionType.ONLINE } } },
      ],
    }),
    // From what is known: never behind any work, nor a disk.
    probe: async () => {
      const faults = services.pools.names().flatMap((name) => {
        const { health } = services.pools.describe(name);
        return health.state === "faulted" ? [`pool "${name}": ${health.why}`] : [];
      });
      if (faults.length === 0 || faults.length < services.pools.names().length) {
        return { ready: true };
      }
      throw new Failure("failed_precondition", `Cannot serve any volume: ${faults.join("; ")}`);
    },
  };
}

function service(type: ServiceType): PluginCapability {
  return { type: { $case: "service", value: { type } } };
}
