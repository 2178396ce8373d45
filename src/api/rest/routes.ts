import { historyRoutes } from "./history-routes.ts";
import { imageRoutes } from "./image-routes.ts";
import { layerRoutes } from "./layer-routes.ts";
import { type NodeParts, nodeRoutes, resourceRoutes } from "./node-routes.ts";
import { openApiOf } from "./openapi.ts";
import { profileRoutes } from "./profile-routes.ts";
import { NO_QUERY } from "./query.ts";
import { type Route, route } from "./route.ts";
import { streamRoutes } from "./stream-routes.ts";
import { trashRoutes } from "./trash-routes.ts";
import { usageRoutes } from "./usage-routes.ts";
import { volumeRoutes } from "./volume-routes.ts";

/** Everything that can be asked, in the order of the document. */
export function restRoutes(parts: NodeParts): readonly Route[] {
  const routes = [
    ...volumeRoutes(parts.services),
    ...trashRoutes(parts.services),
    ...historyRoutes(parts.services),
    ...streamRoutes(parts),
    ...imageRoutes(parts),
    ...layerRoutes(parts.services),
    ...usageRoutes(parts.services),
    ...profileRoutes(parts.services),
    ...resourceRoutes(parts),
    ...nodeRoutes(parts),
  ];
  const document = openApiOf(routes, parts.version);
  return [
    ...routes,
    route({
      ...{ method: "GET", path: "/openapi.json", does: "This description of the API." },
      ...{ query: NO_QUERY, body: null, answers: { 200: "application/json" }, fails: [] },
      work: async () => ({ body: document }),
    }),
  ];
}
