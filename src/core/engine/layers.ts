import type { EngineSettings } from "../ports/engine.ts";

/** How an engine keeps its layers, and how it could keep them here. */
export interface EngineLayers {
  readonly level: "ok" | "warn";
  /** What was seen: one sentence. */
  readonly saw: string;
  /** What to do, when something should be done. */
  readonly advice?: string;
}

/** First version of Docker that takes a storage driver which is a plugin only when told so by its environment. */
const DEPRECATED_SINCE = 27;
/** First version that takes none. */
const REMOVED_SINCE = 28;
/** What Docker shows in its driver's status when containerd keeps its layers. */
const SNAPSHOTTER = "io.containerd.snapshotter.v1";

/**
 * What there is to say of an engine's layers; undefined for one that has no way to us, as Podman.
 *
 * @param name Ours, as the engine would have to know it.
 */
export function judgeEngineLayers(
  settings: EngineSettings,
  name: string,
): EngineLayers | undefined {
  const { product, version, storageDriver } = settings;
  if (product !== "docker") return undefined;
  const major = Number.parseInt(version, 10);
  const engine = `Docker ${version}`;
  const snapshotter = settings.driverType === SNAPSHOTTER;
  if (storageDriver === name) {
    if (snapshotter)
      return { level: "ok", saw: `${engine} keeps its layers here, through containerd` };
    if (major < DEPRECATED_SINCE) {
      return { level: "ok", saw: `${engine} keeps its layers here, through its graph driver` };
    }
    return {
      level: "warn",
      saw: `${engine} keeps its layers here by a way that Docker ${REMOVED_SINCE} does not have any more`,
      advice: `Before the engine is upgraded, save its images (docker save), and load them again with the containerd image store and the snapshotter "${name}".`,
    };
  }
  const way = snapshotter || major >= REMOVED_SINCE ? viaSnapshotter : viaGraphDriver(major);
  return {
    level: "ok",
    saw: `${engine} keeps its layers in its own ${storageDriver}; to keep them here: ${way}`,
  };
}

const viaSnapshotter = "the containerd image store (docs/docker-graph.md)";

function viaGraphDriver(major: number): string {
  const start = "dockerd --experimental --storage-driver=lagan";
  if (!(major >= DEPRECATED_SINCE)) return start;
  return `DOCKERD_DEPRECATED_GRAPHDRIVER_PLUGINS=1 ${start}`;
}
