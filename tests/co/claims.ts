import type {
  CreateVolumeRequest,
  Snapshot,
  Topology,
  TopologyRequirement,
  VolumeCapability,
  VolumeContentSource,
} from "../../src/api/shared/generated/csi.ts";
import { capabilityOf, type Wish } from "./capability.ts";
import type { Plugin } from "./plugin.ts";
import { type Patience, settled } from "./retry.ts";

/** A volume as the orchestrator wrote it down. */
export interface Claim {
  readonly name: string;
  readonly volumeId: string;
  readonly capability: VolumeCapability;
  readonly sizeBytes: bigint;
  /** Opaque, and given back with every call that takes it. */
  readonly context: Readonly<Record<string, string>>;
  readonly topology: readonly Topology[];
}

/** What is asked for. */
export interface ClaimRequest extends Wish {
  readonly name: string;
  readonly sizeBytes?: bigint;
  readonly limitBytes?: bigint;
  readonly parameters?: Readonly<Record<string, string>>;
  readonly mutableParameters?: Readonly<Record<string, string>>;
  readonly secrets?: Readonly<Record<string, string>>;
  readonly from?: { readonly snapshotId: string } | { readonly volumeId: string };
  readonly topology?: TopologyRequirement;
}

/** The controller side of an orchestrator, as Kubernetes' provisioner, resizer and snapshotter: it repeats until a call is settled. */
export class Claims {
  readonly #plugin: Plugin;
  readonly #patience: Patience;

  constructor(plugin: Plugin, patience: Patience) {
    this.#plugin = plugin;
    this.#patience = patience;
  }

  /** A volume of this name: a new one, or the one that an earlier try made. */
  async create(request: ClaimRequest): Promise<Claim> {
    const message = createVolumeRequest(request);
    const { volume } = await this.#settled(() => this.#plugin.controller.createVolume(message));
    if (volume === undefined) throw new Error("CreateVolume answered without a volume");
    return {
      name: request.name,
      volumeId: volume.volumeId,
      capability: capabilityOf(request),
      sizeBytes: volume.capacityBytes,
      context: volume.volumeContext,
      topology: volume.accessibleTopology,
    };
  }

  async remove(volumeId: string): Promise<void> {
    await this.#settled(() => this.#plugin.controller.deleteVolume({ volumeId }));
  }

  /** The size that it has then. `onNode`: the node has to do the rest. */
  async expand(
    { volumeId, capability }: Claim,
    requiredBytes: bigint,
  ): Promise<{ readonly sizeBytes: bigint; readonly onNode: boolean }> {
    const { capacityBytes, nodeExpansionRequired } = await this.#settled(() =>
      this.#plugin.controller.controllerExpandVolume({
        ...{ volumeId, volumeCapability: capability },
        capacityRange: { requiredBytes, limitBytes: 0n },
      }),
    );
    return { sizeBytes: capacityBytes, onNode: nodeExpansionRequired };
  }

  /** A snapshot of this name that can be used: a new one, or the one that an earlier try took. */
  async snapshot(
    sourceVolumeId: string,
    name: string,
    parameters: Readonly<Record<string, string>> = {},
  ): Promise<Snapshot> {
    return this.#settled(async () => {
      const request = { sourceVolumeId, name, parameters: { ...parameters } };
      const { snapshot } = await this.#plugin.controller.createSnapshot(request);
      if (snapshot === undefined) throw new Error("CreateSnapshot answered without a snapshot");
      return snapshot;
    });
  }

  async removeSnapshot(snapshotId: string): Promise<void> {
    await this.#settled(() => this.#plugin.controller.deleteSnapshot({ snapshotId }));
  }

  /** The ids of all volumes, page by page. */
  async listVolumeIds(maxEntries = 0): Promise<readonly string[]> {
    const ids: string[] = [];
    for (let startingToken = ""; ; ) {
      const page = await this.#plugin.controller.listVolumes({ maxEntries, startingToken });
      ids.push(...page.entries.map(({ volume }) => volume?.volumeId ?? ""));
      startingToken = page.nextToken;
      if (startingToken === "") return ids;
    }
  }

  #settled<T>(call: () => Promise<T>): Promise<T> {
    return settled(call, this.#patience);
  }
}

/** The message that asks for it. */
export function createVolumeRequest(request: ClaimRequest): Partial<CreateVolumeRequest> {
  const { name, sizeBytes = 0n, limitBytes = 0n, topology, from } = request;
  return {
    name,
    capacityRange:
      sizeBytes === 0n && limitBytes === 0n ? undefined : { requiredBytes: sizeBytes, limitBytes },
    volumeCapabilities: [capabilityOf(request)],
    parameters: { ...request.parameters },
    mutableParameters: { ...request.mutableParameters },
    secrets: { ...request.secrets },
    accessibilityRequirements: topology,
    volumeContentSource: from === undefined ? undefined : sourceOf(from),
  };
}

function sourceOf(
  from: { readonly snapshotId: string } | { readonly volumeId: string },
): VolumeContentSource {
  if ("snapshotId" in from) {
    return { type: { $case: "snapshot", value: { snapshotId: from.snapshotId } } };
  }
  return { type: { $case: "volume", value: { volumeId: from.volumeId } } };
}
