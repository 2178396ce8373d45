import { Failure } from "../../core/failure.ts";
import { parseVolumeName, quote, VOLUME_NAME_LIMIT } from "../../core/name.ts";
import type { Volume } from "../../core/volume/volume.ts";
import type { Recorded } from "../../services/records.ts";
import type { Services } from "../../services/services.ts";
import { formatUsage } from "./codec.ts";
import { tellerOf } from "./facts.ts";
import { takePage } from "./page.ts";
import { NO_QUERY, PAGE_QUERY } from "./query.ts";
import type { WireEmptied } from "./resource.ts";
import { type RestRequest, type Route, route } from "./route.ts";
import { EMPTIED, RESTORE, TRASH_PAGE, TRASHED, USAGE, VOLUME } from "./schema.ts";

const TRASH = "/v1/trash";
/** An id, the beginning of one, or the name of the volume removed last. */
const ONE = "/v1/trash/{id}";

/** Removed volumes. */
export function trashRoutes(services: Services): readonly Route[] {
  const { trash, usage } = services;
  return [
    route({
      ...{ method: "GET", path: TRASH, does: "Lists removed volumes, the last one first." },
      ...{ query: PAGE_QUERY, body: null, answers: { 200: TRASH_PAGE }, fails: [] },
      work: async ({ query }) => {
        const page = takePage(await trash.list(), lastFirst, query);
        const teller = await tellerOf(services);
        return { body: { ...page, items: page.items.map(teller.trashed) } };
      },
    }),
    route({
      ...{ method: "DELETE", path: TRASH, does: "Removes everything in the trash for good." },
      ...{ query: NO_QUERY, body: null, answers: { 200: EMPTIED }, fails: [] },
      work: async (_request, signal) => {
        const { removed, failed } = await trash.empty(signal);
        const body: WireEmptied = {
          removed: removed.map(({ id, name }) => ({ id, name })),
          failed: failed.map(({ volume: { id, name }, failure }) => {
            return { id, name, why: failure.message };
          }),
        };
        return { body };
      },
    }),
    route({
      ...{ method: "GET", path: ONE, does: "Shows a removed volume." },
      ...{ query: NO_QUERY, body: null, answers: { 200: TRASHED }, fails: ["not_found"] },
      work: async (request) => {
        const found = await trash.get(textIn(request));
        return { body: (await tellerOf(services)).trashed(found) };
      },
    }),
    route({
      ...{ method: "DELETE", path: ONE, does: "Removes one volume in the trash for good." },
      ...{ query: NO_QUERY, body: null, answers: { 200: TRASHED } },
      fails: ["not_found", "unavailable"],
      work: async (request, signal) => {
        const found = await trash.get(textIn(request));
        const body = (await tellerOf(services)).trashed(found);
        await trash.purge(found.value.id, signal);
        return { body };
      },
    }),
    route({
      ...{ method: "GET", path: `${ONE}/usage`, does: "Measures what a removed volume holds." },
      ...{ query: NO_QUERY, body: null, answers: { 200: USAGE } },
      fails: ["not_found", "unavailable", "data_loss"],
      work: async (request, signal) => {
        const { value } = await trash.get(textIn(request));
        return { body: formatUsage(value, await usage.measure(value, signal)) };
      },
    }),
    route({
      ...{ method: "POST", path: `${ONE}/restore`, does: "Takes a volume out of the trash." },
      ...{ query: NO_QUERY, body: RESTORE, bodyOptional: true, answers: { 200: VOLUME } },
      fails: ["not_found", "already_exists"],
      work: async (request) => {
        const { name } = request.body;
        const as = name === undefined ? undefined : parseVolumeName(name);
        const restored = await trash.restore(textIn(request), as);
        const headers = { etag: `"${restored.revision}"` };
        return { headers, body: (await tellerOf(services)).volume(restored) };
      },
    }),
  ];
}

/** Orders as the trash lists: the one removed last first. */
function lastFirst({ value: { id, status } }: Recorded<Volume>): string {
  const trashedAt = status.state === "trashed" ? status.trashedAt : 0;
  return `${String(Number.MAX_SAFE_INTEGER - trashedAt).padStart(16, "0")}/${id}`;
}

function textIn({ params }: RestRequest<unknown, unknown>): string {
  const text = params["id"] ?? "";
  if (text.length <= VOLUME_NAME_LIMIT * 2 && /^[a-zA-Z0-9][a-zA-Z0-9_.@-]*$/.test(text))
    return text;
  throw new Failure(
    "invalid_argument",
    `Cannot look for ${quote(text)} in the trash: give a volume's id, the beginning of one, or a name`,
  );
}
