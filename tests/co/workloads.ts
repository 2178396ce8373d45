import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Claim } from "./claims.ts";
import type { Plugin, PluginFacts } from "./plugin.ts";
import { type Patience, settled } from "./retry.ts";

/** Numbers of capabilities that decide what is called. */
const CONTROLLER_PUBLISH_UNPUBLISH = 2;
const NODE_STAGE_UNSTAGE = 1;

/** One volume on this node. */
interface OnNode {
  readonly claim: Claim;
  /** What the controller's publish gave. */
  publishContext: Readonly<Record<string, string>>;
  readonly targets: Map<string, string>;
}

/** How a workload uses a volume. */
export interface UseOptions {
  readonly readOnly?: boolean;
  readonly secrets?: Readonly<Record<string, string>>;
}

interface WorkloadsParts {
  readonly plugin: Plugin;
  readonly facts: PluginFacts;
  /** Where staging and target paths are made, as the driver sees it. */
  readonly directory: string;
  /** How this process reaches the driver's root directory; "": as it is. */
  readonly root?: string;
  readonly patience: Patience;
}

/**
 * The node side of an orchestrator, as Kubernetes' attacher and kubelet: publish on the controller, stage once a
 * volume, publish once a workload, and all of it backwards, each step repeated until it is settled and no level
 * ever skipped. What is written down is written before the call.
 */
export class Workloads {
  readonly #parts: WorkloadsParts;
  readonly #volumes = new Map<string, OnNode>();

  constructor(parts: WorkloadsParts) {
    this.#parts = parts;
  }

  /** Gives a workload a volume; again is success. Resolves to the path where it finds it. */
  async start(claim: Claim, workload: string, options: UseOptions = {}): Promise<string> {
    const { plugin, facts } = this.#parts;
    const { volumeId } = claim;
    const on: OnNode = this.#volumes.get(volumeId) ?? {
      ...{ claim, publishContext: {}, targets: new Map<string, string>() },
    };
    this.#volumes.set(volumeId, on);
    const target = this.targetPath(volumeId, workload);
    on.targets.set(workload, target);
    if (facts.controller.has(CONTROLLER_PUBLISH_UNPUBLISH)) {
      const { nodeId } = facts.nodeInfo;
      const attached = await this.#settled(() =>
        plugin.controller.controllerPublishVolume({
          ...{ volumeId, nodeId, volumeCapability: claim.capability },
          // Of the volume on this node; a workload that only reads says so when it is published.
          ...{ readonly: false, volumeContext: { ...claim.context } },
        }),
      );
      on.publishContext = attached.publishContext;
    }
    await this.stage(on.claim, on.publishContext, options);
    await mkdir(this.#reached(dirname(target)), { recursive: true });
    await this.#settled(() =>
      plugin.node.nodePublishVolume({
        ...{ volumeId, targetPath: target, stagingTargetPath: this.#stagingOrNone(volumeId) },
        ...{ volumeCapability: claim.capability, readonly: options.readOnly ?? false },
        ...{ publishContext: { ...on.publishContext }, volumeContext: { ...claim.context } },
        secrets: { ...options.secrets },
      }),
    );
    return target;
  }

  /** Mounts the volume where all its workloads get it from; without STAGE_UNSTAGE there is nothing to do. */
  async stage(
    { volumeId, capability, context }: Claim,
    publishContext: Readonly<Record<string, string>>,
    { secrets }: UseOptions = {},
  ): Promise<void> {
    const { plugin } = this.#parts;
    const stagingTargetPath = this.#stagingOrNone(volumeId);
    if (stagingTargetPath === "") return;
    await mkdir(this.#reached(stagingTargetPath), { recursive: true });
    await this.#settled(() =>
      plugin.node.nodeStageVolume({
        ...{ volumeId, stagingTargetPath, volumeCapability: capability, secrets: { ...secrets } },
        ...{ publishContext: { ...publishContext }, volumeContext: { ...context } },
      }),
    );
  }

  /** Takes a volume from a workload; with the last one it leaves the node. Again is success. */
  async end(volumeId: string, workload: string): Promise<void> {
    const { plugin, facts } = this.#parts;
    const on = this.#volumes.get(volumeId);
    const targetPath = on?.targets.get(workload) ?? this.targetPath(volumeId, workload);
    await this.#settled(() => plugin.node.nodeUnpublishVolume({ volumeId, targetPath }));
    on?.targets.delete(workload);
    if (on !== undefined && on.targets.size > 0) return;
    const stagingTargetPath = this.#stagingOrNone(volumeId);
    if (stagingTargetPath !== "") {
      await this.#settled(() => plugin.node.nodeUnstageVolume({ volumeId, stagingTargetPath }));
    }
    if (facts.controller.has(CONTROLLER_PUBLISH_UNPUBLISH)) {
      const { nodeId } = facts.nodeInfo;
      await this.#settled(() => plugin.controller.controllerUnpublishVolume({ volumeId, nodeId }));
    }
    this.#volumes.delete(volumeId);
  }

  /** Lets the node do its part of an expansion, for a workload that has the volume. */
  async expand({ volumeId, capability }: Claim, workload: string, requiredBytes: bigint) {
    const volumePath = this.targetPath(volumeId, workload);
    const { capacityBytes } = await this.#settled(() =>
      this.#parts.plugin.node.nodeExpandVolume({
        ...{ volumeId, volumePath, stagingTargetPath: this.#stagingOrNone(volumeId) },
        ...{ volumeCapability: capability, capacityRange: { requiredBytes, limitBytes: 0n } },
      }),
    );
    return capacityBytes;
  }

  /** Where a workload finds a volume. */
  targetPath(volumeId: string, workload: string): string {
    return join(this.#parts.directory, "pods", workload, "volumes", wordOf(volumeId), "mount");
  }

  /** Where a volume is staged; one directory a volume. */
  stagingPath(volumeId: string): string {
    return join(this.#parts.directory, "staging", wordOf(volumeId), "globalmount");
  }

  #stagingOrNone(volumeId: string): string {
    return this.#parts.facts.node.has(NODE_STAGE_UNSTAGE) ? this.stagingPath(volumeId) : "";
  }

  #reached(path: string): string {
    return (this.#parts.root ?? "") + path;
  }

  #settled<T>(call: () => Promise<T>): Promise<T> {
    return settled(call, this.#parts.patience);
  }
}

/** A volume's id may hold anything: what stands for it in paths is of a fixed form and length. */
function wordOf(volumeId: string): string {
  return createHash("sha256").update(volumeId).digest("hex").slice(0, 24);
}
