import { Failure } from "../../core/failure.ts";
import { parseLineName } from "../../core/history/ref.ts";
import { parseAuthor } from "../../core/history/snapshot.ts";
import { parsePoolName, parseVolumeName, type VolumeName } from "../../core/name.ts";
import { parseKeep } from "../../core/schedule/keep.ts";
import { parseEvery } from "../../core/schedule/schedule.ts";
import type { Volume } from "../../core/volume/volume.ts";
import type { Recorded } from "../../services/records.ts";
import type { Services } from "../../services/services.ts";
import type { VolumeChange } from "../../services/volume-requests.ts";
import { ensureRevision } from "../../services/volume-rules.ts";
import { formatUsage, parseCreation } from "./codec.ts";
import { tellerOf } from "./facts.ts";
import { formatScheduleStatus } from "./history-codec.ts";
import { takePage } from "./page.ts";
import { NO_QUERY, VOLUMES_QUERY, type VolumesQuery } from "./query.ts";
import type { ChangeVolumeBody, WireRemoved } from "./resource.ts";
import { parseIfMatch, type RestAnswer, type RestRequest, type Route, route } from "./route.ts";
import { CHANGE_VOLUME, CREATE_VOLUME, REMOVED, USAGE, VOLUME, VOLUME_PAGE } from "./schema.ts";

const VOLUMES = "/v1/volumes";
const ONE = "/v1/volumes/{name}";

/** Volumes by name. */
export function volumeRoutes(services: Services): readonly Route[] {
  const { volumes, usage } = services;
  return [
    route({
      ...{ method: "GET", path: VOLUMES, does: "Lists volumes by name, from records alone." },
      ...{ query: VOLUMES_QUERY, body: null, answers: { 200: VOLUME_PAGE } },
      fails: ["not_found", "unavailable"],
      work: async ({ query }, signal) => {
        const page = takePage(await filtered(services, query, signal), nameOf, query);
        const teller = await tellerOf(services);
        return { body: { ...page, items: page.items.map(teller.volume) } };
      },
    }),
    route({
      ...{ method: "POST", path: VOLUMES, does: "Makes a volume; the same again is success." },
      ...{ query: NO_QUERY, body: CREATE_VOLUME, answers: { 201: VOLUME, 200: VOLUME } },
      fails: [
        ...["already_exists", "failed_precondition", "not_found"],
        ...["out_of_range", "unavailable", "resource_exhausted"],
      ] as const,
      work: async ({ body }, signal) => {
        const name = parseVolumeName(body.name);
        const options = parseCreation(body);
        const before = await volumes.find(name);
        const context = { author: parseAuthor(body.author ?? "") };
        const made = await volumes.create(name, options, signal, context);
        const status = before === undefined ? 201 : 200;
        return oneVolume(services, made, status, { location: `${VOLUMES}/${name}` });
      },
    }),
    route({
      ...{ method: "GET", path: ONE, does: "Shows a volume." },
      ...{ query: NO_QUERY, body: null, answers: { 200: VOLUME }, fails: ["not_found"] },
      work: async (request, signal) => {
        const found = await volumes.get(nameIn(request));
        const { headers, body } = await oneVolume(services, found);
        const status = await services.schedules.status(found.value);
        const scheduleStatus = status && formatScheduleStatus(status);
        // Whoever asks for the rest is not kept from it by a pool that is faulted.
        const path = await services.mounts.path(found.value, signal).catch(() => null);
        return { headers, body: { ...body, scheduleStatus, path } };
      },
    }),
    changeRoute(services),
    route({
      ...{ method: "DELETE", path: ONE, does: "Puts a volume into the trash." },
      ...{ query: NO_QUERY, body: null, ifMatch: true, answers: { 200: REMOVED } },
      fails: ["not_found", "aborted", "failed_precondition", "unavailable"],
      work: async (request, signal) => {
        const ifRevision = parseIfMatch(request);
        const options = { askEngines: true, ...(ifRevision !== undefined && { ifRevision }) };
        const removed = await volumes.remove(nameIn(request), options, signal);
        const { status } = removed.value;
        // With the trash turned off it expires in the instant of its removal, and is gone already.
        const restorable = status.state === "trashed" && status.expiresAt !== status.trashedAt;
        const body: WireRemoved = { ...(await tellerOf(services)).trashed(removed), restorable };
        return { body };
      },
    }),
    route({
      ...{ method: "GET", path: `${ONE}/usage`, does: "Measures what a volume holds, now." },
      ...{ query: NO_QUERY, body: null, answers: { 200: USAGE } },
      fails: ["not_found", "unavailable", "data_loss"],
      work: async (request, signal) => {
        const { value } = await volumes.get(nameIn(request));
        return { body: formatUsage(value, await usage.measure(value, signal)) };
      },
    }),
  ];
}

function changeRoute(services: Services): Route {
  const { volumes, resizes } = services;
  return route({
    ...{ method: "PATCH", path: ONE, does: "Changes what is given of a volume." },
    ...{ query: NO_QUERY, body: CHANGE_VOLUME, ifMatch: true, answers: { 200: VOLUME } },
    fails: ["not_found", "aborted", "already_exists", "failed_precondition"],
    work: async (request, signal) => {
      const { sizeBytes, author, ...rest } = request.body;
      const name = nameIn(request);
      const revision = parseIfMatch(request);
      const change = parseChange(rest);
      if (sizeBytes !== undefined && Object.keys(change).length === 0) {
        ensureRevision(await volumes.get(name), revision);
        return oneVolume(services, await resizes.resize(name, sizeBytes, signal));
      }
      if (sizeBytes !== undefined || Object.keys(change).length === 0) {
        const what =
          sizeBytes === undefined
            ? "asks for nothing; give labels, protect, name, sizeBytes, schedule or keep"
            : "asks for sizeBytes and more; give sizeBytes alone";
        throw new Failure("invalid_argument", `Cannot change the volume: the request body ${what}`);
      }
      const by = { ...change, author: parseAuthor(author ?? "") };
      return oneVolume(services, await volumes.update(name, by, signal, revision));
    },
  });
}

async function filtered(
  { volumes, pools, mounts }: Services,
  { label = [], pool, unused }: VolumesQuery,
  signal: AbortSignal,
): Promise<readonly Recorded<Volume>[]> {
  const wanted = label.map((text) => {
    const equals = text.indexOf("=");
    return equals === -1
      ? { key: text, value: undefined }
      : { key: text.slice(0, equals), value: text.slice(equals + 1) };
  });
  const inPool = pool === undefined ? undefined : pools.describe(parsePoolName(pool)).record.name;
  const found = (await volumes.list()).filter(
    ({ value }) =>
      (inPool === undefined || value.spec.pool === inPool) &&
      wanted.every(
        ({ key, value: asked }) =>
          Object.hasOwn(value.labels, key) && (asked === undefined || value.labels[key] === asked),
      ),
  );
  if (unused === undefined) return found;
  const free = new Set(
    await mounts.listUnused(
      found.map(({ value }) => value),
      signal,
    ),
  );
  return found.filter(({ value }) => free.has(value) === unused);
}

async function oneVolume(
  services: Services,
  recorded: Recorded<Volume>,
  status = 200,
  headers: Readonly<Record<string, string>> = {},
): Promise<
  Extract<RestAnswer, { readonly body: object }> & { readonly headers: Record<string, string> }
> {
  const teller = await tellerOf(services);
  const etag = `"${recorded.revision}"`;
  return { status, headers: { ...headers, etag }, body: teller.volume(recorded) };
}

function nameOf({ value }: Recorded<Volume>): string {
  return value.name;
}

/** @throws {Failure} `invalid_argument` for a name or a schedule that cannot be. */
function parseChange({
  labels,
  protect,
  name,
  schedule,
  keep,
}: Omit<ChangeVolumeBody, "sizeBytes" | "author">): VolumeChange {
  const scheduled = {
    ...(schedule !== undefined && { everyMs: parseEvery(schedule) }),
    ...(keep !== undefined && { keep: parseKeep(keep) }),
  };
  return {
    ...(labels && { labels }),
    ...(protect !== undefined && { protect }),
    ...(name !== undefined && { name: parseVolumeName(name) }),
    ...(Object.keys(scheduled).length > 0 && { schedule: scheduled }),
  };
}

function nameIn({ params }: RestRequest<unknown, unknown>): VolumeName {
  return parseLineName(params["name"] ?? "");
}
