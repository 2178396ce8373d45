import { realpath } from "node:fs/promises";
import { join } from "node:path";
import type { Log } from "../core/ports/log.ts";
import type { Store } from "../core/ports/store.ts";
import { hostFiles } from "../host/files.ts";
import { hostKernel } from "../host/kernel.ts";
import { hostLayerTar } from "../host/layer-tar.ts";
import { hostSha256 } from "../host/sha256.ts";
import { hostTreeDiff } from "../host/tree-diff.ts";
import { Graph } from "../services/graph.ts";
import { GraphMounts } from "../services/graph-mounts.ts";
import { KeyedQueue } from "../services/keyed-queue.ts";
import type { Services } from "../services/services.ts";

/** Layers as Docker's graph drivers have them, on this machine; mounted in `runDir`. */
export async function buildGraph(
  services: Services,
  { runDir, runtime, log }: { readonly runDir: string; readonly runtime: Store; readonly log: Log },
): Promise<Graph> {
  const { layerStore: layers, pools } = services;
  const mounts = new GraphMounts({
    ...{ kernel: hostKernel, files: hostFiles },
    directory: join(await realpath(runDir), "graph"),
  });
  const graph = new Graph({
    ...{ layers, pools, mounts, queue: new KeyedQueue(), log },
    ...{ tar: hostLayerTar, treeDiff: hostTreeDiff, sha256: hostSha256 },
    runtime,
  });
  await graph.open();
  return graph;
}
