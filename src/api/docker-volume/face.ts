import type { PluginFace } from "../shared/docker-plugin.ts";
import { type DoorOptions, SURE_CALLS, volumeRoutes } from "./routes.ts";
import { WHEN_ASKED_FOR_A_VOLUME } from "./status.ts";

/** Volumes, for engines. */
export function volumeFace(options: DoorOptions): PluginFace {
  return {
    protocol: "VolumeDriver",
    routes: volumeRoutes(options),
    hangsUp: (url, code) => SURE_CALLS.has(url) && WHEN_ASKED_FOR_A_VOLUME[code] === "hang-up",
  };
}
