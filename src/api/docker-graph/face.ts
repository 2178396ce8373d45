import type { Log } from "../../core/ports/log.ts";
import type { Graph } from "../../services/graph.ts";
import type { PluginFace } from "../shared/docker-plugin.ts";
import { graphRoutes } from "./routes.ts";
import { graphStreams } from "./streams.ts";

/** Layers of images and containers, for engines whose storage driver is a plugin (Docker up to 27). */
export function graphFace(parts: { readonly graph: Graph; readonly log: Log }): PluginFace {
  return {
    protocol: "GraphDriver",
    routes: graphRoutes(parts.graph),
    streams: (scope, signal) => graphStreams(parts, scope, signal),
  };
}
