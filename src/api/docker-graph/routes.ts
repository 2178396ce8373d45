import { Failure } from "../../core/failure.ts";
import type { Graph, GraphChange } from "../../services/graph.ts";
import type { PluginRoute } from "../shared/docker-plugin.ts";
import { formatChange, parseCall, parseCreation, parseGet, parseInit } from "./codec.ts";

/** Most changes that one answer lists: it is one text, and the engine keeps all of it in memory. */
export const CHANGES_LIMIT = 2_000_000;

const DONE = { Err: "" };

/** Docker's graph driver plugin protocol but for its streams (moby 20.10: daemon/graphdriver/proxy.go). The key is the path of the POST. */
export function graphRoutes(graph: Graph): Readonly<Record<string, PluginRoute>> {
  const create: PluginRoute = async (body, signal) => {
    const { id, ...layer } = parseCreation(body);
    await graph.create(id, layer, signal);
    return DONE;
  };
  return {
    "/GraphDriver.Init": async (body) => {
      graph.init(parseInit(body).home);
      return DONE;
    },
    // A tar of a layer has its entries in our order, so the engine has to remember those of the tar that it was given.
    "/GraphDriver.Capabilities": async () => ({ Capabilities: { ReproducesExactDiffs: false } }),
    "/GraphDriver.Create": create,
    "/GraphDriver.CreateReadWrite": create,
    "/GraphDriver.Remove": async (body) => {
      await graph.remove(parseCall(body).id);
      return DONE;
    },
    "/GraphDriver.Get": async (body, signal) => ({
      Dir: await graph.get(parseGet(body), signal),
      Err: "",
    }),
    "/GraphDriver.Put": async (body) => {
      await graph.put(parseCall(body).id);
      return DONE;
    },
    "/GraphDriver.Exists": async (body) => ({ Exists: graph.exists(parseCall(body).id), Err: "" }),
    "/GraphDriver.Status": async (_body, signal) => ({
      Status: await graph.status(signal),
      Err: "",
    }),
    "/GraphDriver.GetMetadata": async (body) => ({
      Metadata: graph.metadata(parseCall(body).id),
      Err: "",
    }),
    "/GraphDriver.Cleanup": async () => {
      await graph.cleanup();
      return DONE;
    },
    "/GraphDriver.Changes": async (body, signal) => {
      const { id, parent } = parseCall(body);
      return { Changes: await list(graph.changes(id, parent, signal)), Err: "" };
    },
    "/GraphDriver.DiffSize": async (body, signal) => {
      const { id, parent } = parseCall(body);
      return { Size: await graph.diffSize(id, parent, signal), Err: "" };
    },
  };
}

async function list(
  changes: AsyncIterable<GraphChange>,
): Promise<readonly ReturnType<typeof formatChange>[]> {
  const listed: ReturnType<typeof formatChange>[] = [];
  for await (const change of changes) {
    if (listed.length === CHANGES_LIMIT) {
      throw new Failure(
        "resource_exhausted",
        `Cannot list what the container has changed: it is more than ${CHANGES_LIMIT} paths`,
      );
    }
    listed.push(formatChange(change));
  }
  return listed;
}
