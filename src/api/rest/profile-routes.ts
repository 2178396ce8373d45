import { parseProfileName } from "../../core/name.ts";
import { parseProfile } from "../../core/volume/profile.ts";
import type { Services } from "../../services/services.ts";
import { formatProfile } from "./history-codec.ts";
import { NEW_PROFILE, PROFILE, PROFILE_PAGE } from "./history-schema.ts";
import { takePage } from "./page.ts";
import { NO_QUERY, PAGE_QUERY } from "./query.ts";
import { type RestRequest, type Route, route } from "./route.ts";

const PROFILES = "/v1/profiles";
const ONE = "/v1/profiles/{name}";

/** Named defaults for new volumes. */
export function profileRoutes({ profiles }: Services): readonly Route[] {
  return [
    route({
      ...{ method: "GET", path: PROFILES, does: "Lists profiles by name." },
      ...{ query: PAGE_QUERY, body: null, answers: { 200: PROFILE_PAGE }, fails: [] },
      work: async ({ query }) => {
        const page = takePage(await profiles.list(), ({ name }) => name, query);
        return { body: { ...page, items: page.items.map(formatProfile) } };
      },
    }),
    route({
      ...{ method: "POST", path: PROFILES, does: "Makes a profile; the same again is success." },
      ...{ query: NO_QUERY, body: NEW_PROFILE, answers: { 201: PROFILE } },
      fails: ["already_exists", "not_found", "out_of_range"],
      work: async ({ body }) => {
        const name = parseProfileName(body.name);
        const made = await profiles.create(name, parseProfile(body.options));
        return {
          status: 201,
          headers: { location: `${PROFILES}/${name}` },
          body: formatProfile(made),
        };
      },
    }),
    route({
      ...{ method: "GET", path: ONE, does: "Shows a profile." },
      ...{ query: NO_QUERY, body: null, answers: { 200: PROFILE }, fails: ["not_found"] },
      work: async (request) => ({ body: formatProfile(await profiles.get(nameIn(request))) }),
    }),
    route({
      ...{ method: "DELETE", path: ONE, does: "Removes a profile; volumes keep what they have." },
      ...{ query: NO_QUERY, body: null, answers: { 200: PROFILE } },
      fails: ["not_found", "failed_precondition"],
      work: async (request) => ({ body: formatProfile(await profiles.remove(nameIn(request))) }),
    }),
  ];
}

function nameIn({ params }: RestRequest<unknown, unknown>) {
  return parseProfileName(params["name"] ?? "");
}
