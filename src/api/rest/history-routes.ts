import { Failure } from "../../core/failure.ts";
import { lineName, parseLineName, parseRef } from "../../core/history/ref.ts";
import { parseAuthor, parseMessage, parsePointName } from "../../core/history/snapshot.ts";
import type { SnapshotId } from "../../core/id.ts";
import { lastMade } from "../../core/last-made.ts";
import { parseVolumeName, type VolumeName } from "../../core/name.ts";
import type { Found } from "../../services/history.ts";
import type { Services } from "../../services/services.ts";
import { tellerOf } from "./facts.ts";
import {
  formatSnapshot,
  formatTrashedSnapshot,
  newestFirst,
  parseGroup,
  parseTake,
  placed,
  pointOf,
} from "./history-codec.ts";
import type { WireSnapshot } from "./history-resource.ts";
import {
  BRANCH,
  BRANCHES,
  CHANGE_SNAPSHOT,
  GROUP,
  RESTORED,
  REVERT,
  SNAPSHOT,
  SNAPSHOT_PAGE,
  TAKE,
  TAKE_GROUP,
  TAKEN,
  TRASHED_SNAPSHOT,
  TRASHED_SNAPSHOT_PAGE,
} from "./history-schema.ts";
import { inOrder, takePage } from "./page.ts";
import { NO_QUERY, PAGE_QUERY } from "./query.ts";
import { ensureIfMatch, type RestRequest, type Route, route } from "./route.ts";
import { VOLUME } from "./schema.ts";

const ONE = "/v1/volumes/{name}";
const SNAPSHOTS = `${ONE}/snapshots`;
const POINT = `${SNAPSHOTS}/{snapshot}`;
const TRASH = "/v1/trash-snapshots";

const LINE_FAILS = [
  "not_found",
  "failed_precondition",
  "unavailable",
  "resource_exhausted",
] as const;

/** Snapshots, restores and branches of volumes. */
export function historyRoutes(services: Services): readonly Route[] {
  return [
    ...snapshotRoutes(services),
    groupRoute(services),
    ...logRoutes(services),
    ...lineRoutes(services),
    ...trashRoutes(services),
  ];
}

function snapshotRoutes(services: Services): readonly Route[] {
  const { history, snapshots } = services;
  return [
    route({
      ...{ method: "GET", path: SNAPSHOTS, does: "Lists a volume's own snapshots, oldest first." },
      ...{ query: PAGE_QUERY, body: null, answers: { 200: SNAPSHOT_PAGE }, fails: ["not_found"] },
      work: async (request, signal) => {
        const line = await history.line(nameIn(request));
        const own = await history.list(line.value.name);
        const found = own.map((snapshot) => ({ line, snapshot }));
        const page = takePage(found, ({ snapshot }) => snapshot.value.id, request.query);
        return { body: { ...page, items: await tell(services, page.items, signal) } };
      },
    }),
    route({
      ...{ method: "POST", path: SNAPSHOTS, does: "Takes a snapshot of a volume as it is now." },
      ...{ query: NO_QUERY, body: TAKE, bodyOptional: true, answers: { 201: TAKEN } },
      fails: [...LINE_FAILS, "already_exists"],
      work: async (request, signal) => {
        const name = nameIn(request);
        const { containers, faults, ...snapshot } = await snapshots.create(
          name,
          parseTake(request.body),
          signal,
        );
        const line = await history.line(name);
        const [told] = await tell(services, [{ line, snapshot }], signal);
        const location = `/v1/volumes/${encodeURIComponent(name)}/snapshots/${told?.id}`;
        return { status: 201, headers: { location }, body: { ...told, containers, faults } };
      },
    }),
    route({
      ...{ method: "GET", path: POINT, does: "Shows a snapshot, by its name or id." },
      ...{ query: NO_QUERY, body: null, answers: { 200: SNAPSHOT }, fails: ["not_found"] },
      work: async (request, signal) => one(services, await pointIn(services, request), signal),
    }),
    route({
      ...{ method: "PATCH", path: POINT, does: "Changes name, message, labels or protection." },
      ...{ query: NO_QUERY, body: CHANGE_SNAPSHOT, ifMatch: true, answers: { 200: SNAPSHOT } },
      fails: ["not_found", "already_exists", "aborted"],
      work: async (request, signal) => {
        const { author, ...change } = request.body;
        const { name, message, labels, protect } = change;
        if (Object.values(change).every((value) => value === undefined)) {
          throw new Failure(
            "invalid_argument",
            "Cannot change the snapshot: the request body asks for nothing; give name, message, labels or protect",
          );
        }
        const { line, snapshot: found } = await pointIn(services, request);
        ensureIfMatch(request, found.revision, "snapshot");
        const snapshot = await snapshots.update(pointOf(line.value.name, found.value.id), {
          author: parseAuthor(author ?? ""),
          ...(name !== undefined && {
            name: name === null ? null : parsePointName(name, "snapshot"),
          }),
          ...(message !== undefined && { message: parseMessage(message) }),
          ...(labels !== undefined && { labels }),
          ...(protect !== undefined && { protect }),
        });
        return one(services, { line, snapshot }, signal);
      },
    }),
    route({
      ...{ method: "DELETE", path: POINT, does: "Puts a snapshot into the trash." },
      ...{ query: NO_QUERY, body: null, ifMatch: true, answers: { 200: TRASHED_SNAPSHOT } },
      fails: ["not_found", "failed_precondition", "unavailable", "aborted"],
      work: async (request, signal) => {
        const { line, snapshot: found } = await pointIn(services, request);
        ensureIfMatch(request, found.revision, "snapshot");
        const snapshot = await snapshots.remove(pointOf(line.value.name, found.value.id), signal);
        const usage = services.usage.ofSnapshot(found.value.id);
        return { body: formatTrashedSnapshot({ line, snapshot }, usage) };
      },
    }),
  ];
}

function groupRoute(services: Services): Route {
  const { history, snapshots } = services;
  return route({
    ...{ method: "POST", path: "/v1/snapshot-groups", does: "Takes snapshots together." },
    ...{ query: NO_QUERY, body: TAKE_GROUP, answers: { 201: GROUP } },
    fails: LINE_FAILS,
    work: async ({ body }, signal) => {
      const lines = body.volumes.map(parseLineName);
      const group = parseGroup(body.group);
      const { volumes: _, group: __, ...rest } = body;
      const request = { ...parseTake(rest), group };
      const taken = await snapshots.createGroup(lines, request, signal);
      const found = await Promise.all(
        taken.snapshots.map(async (snapshot, index) => {
          return { line: await history.line(lines[index] ?? (group as never)), snapshot };
        }),
      );
      const told = await tell(services, found, signal);
      const { containers, faults, skewMs } = taken;
      return { status: 201, body: { group, snapshots: told, skewMs, containers, faults } };
    },
  });
}

function logRoutes(services: Services): readonly Route[] {
  const { history } = services;
  const at = ({ snapshot: { value } }: Found): string => newestFirst(value.createdAt, value.id);
  const newestOfAll = lastMade((all: readonly Found[]) => inOrder(all, at));
  return [
    route({
      ...{
        method: "GET",
        path: `${ONE}/log`,
        does: "Lists what a volume stands on, newest first.",
      },
      ...{ query: PAGE_QUERY, body: null, answers: { 200: SNAPSHOT_PAGE }, fails: ["not_found"] },
      work: async (request, signal) => {
        const { tip } = (await history.line(nameIn(request))).value;
        const log = inOrder(await history.log(nameIn(request)), at);
        const page = takePage(log, at, request.query);
        return { body: { ...page, items: await tell(services, page.items, signal, tip) } };
      },
    }),
    route({
      ...{ method: "GET", path: "/v1/snapshots", does: "Lists every snapshot, newest first." },
      ...{ query: PAGE_QUERY, body: null, answers: { 200: SNAPSHOT_PAGE }, fails: [] },
      work: async ({ query }, signal) => {
        const page = takePage(newestOfAll(await history.listAll()), at, query);
        return { body: { ...page, items: await tell(services, page.items, signal) } };
      },
    }),
  ];
}

function lineRoutes(services: Services): readonly Route[] {
  const { history, restores, branches } = services;
  return [
    route({
      ...{ method: "POST", path: `${ONE}/restore`, does: "Makes a snapshot the head again." },
      ...{ query: NO_QUERY, body: REVERT, answers: { 200: RESTORED }, fails: LINE_FAILS },
      work: async (request, signal) => {
        const name = nameIn(request);
        const { snapshot, stop, author } = request.body;
        const how = stop === true ? ({ quiet: "stop" } as const) : {};
        const { volume, kept, containers, faults } = await restores.restore(
          name,
          pointOf(name, snapshot),
          { author: parseAuthor(author ?? ""), ...how },
          signal,
        );
        const wire = (await tellerOf(services)).volume(volume);
        const told = { value: kept, revision: volume.revision };
        const usage = services.usage.ofSnapshot(kept.id);
        const body = {
          ...{ volume: wire, kept: formatSnapshot({ line: volume, snapshot: told }, usage) },
          ...{ containers, faults },
        };
        return { body };
      },
    }),
    route({
      ...{ method: "GET", path: `${ONE}/branches`, does: "Lists a volume's branches, by name." },
      ...{ query: PAGE_QUERY, body: null, answers: { 200: BRANCHES }, fails: ["not_found"] },
      work: async (request) => {
        const found = await branches.list(nameIn(request));
        const page = takePage(found, ({ value }) => value.name, request.query);
        const teller = await tellerOf(services);
        return { body: { ...page, items: page.items.map(teller.volume) } };
      },
    }),
    route({
      ...{ method: "POST", path: `${ONE}/branches`, does: "Makes a branch of a volume." },
      ...{ query: NO_QUERY, body: BRANCH, answers: { 201: VOLUME } },
      fails: [...LINE_FAILS, "already_exists"],
      work: async (request, signal) => {
        const volume = parseVolumeName(request.params["name"] ?? "");
        const { name, from, author } = request.body;
        await history.line(volume);
        const branch = parsePointName(name, "branch");
        const origin = from === undefined ? {} : { from: parseRef(from) };
        const by = parseAuthor(author ?? "");
        const made = await branches.create(volume, branch, { ...origin, author: by }, signal);
        const location = `/v1/volumes/${encodeURIComponent(lineName(volume, branch))}`;
        const body = (await tellerOf(services)).volume(made);
        return { status: 201, headers: { location, etag: `"${made.revision}"` }, body };
      },
    }),
  ];
}

function trashRoutes(services: Services): readonly Route[] {
  const { snapshotTrash, usage } = services;
  const told = (found: Found) =>
    formatTrashedSnapshot(found, usage.ofSnapshot(found.snapshot.value.id));
  const lastFirst = ({ snapshot: { value } }: Found): string => {
    const at = value.status.state === "trashed" ? value.status.trashedAt : 0;
    return newestFirst(at, value.id);
  };
  return [
    route({
      ...{ method: "GET", path: TRASH, does: "Lists removed snapshots, the last one first." },
      ...{ query: PAGE_QUERY, body: null, answers: { 200: TRASHED_SNAPSHOT_PAGE }, fails: [] },
      work: async ({ query }) => {
        const page = takePage(await snapshotTrash.list(), lastFirst, query);
        return { body: { ...page, items: page.items.map(told) } };
      },
    }),
    route({
      ...{ method: "POST", path: `${TRASH}/{ref}/restore`, does: "Takes one out of the trash." },
      ...{ query: NO_QUERY, body: null, answers: { 200: SNAPSHOT }, fails: ["not_found"] },
      work: async ({ params }, signal) =>
        one(services, await snapshotTrash.restore(params["ref"] ?? ""), signal),
    }),
    route({
      ...{ method: "DELETE", path: `${TRASH}/{ref}`, does: "Removes one for good." },
      ...{ query: NO_QUERY, body: null, answers: { 200: TRASHED_SNAPSHOT } },
      fails: ["not_found", "unavailable"],
      work: async ({ params }, signal) => {
        const found = await snapshotTrash.get(params["ref"] ?? "");
        const body = told(found);
        const { volume, id } = found.snapshot.value;
        await snapshotTrash.purge(volume, id, signal);
        return { body };
      },
    }),
  ];
}

async function tell(
  { usage }: Services,
  found: readonly Found[],
  signal: AbortSignal,
  head?: SnapshotId | null,
): Promise<readonly WireSnapshot[]> {
  await usage.fill(
    found.map(({ line, snapshot }) => placed(line.value, snapshot.value)),
    signal,
  );
  return found.map((each) => formatSnapshot(each, usage.ofSnapshot(each.snapshot.value.id), head));
}

async function one(services: Services, found: Found, signal: AbortSignal) {
  const [told] = await tell(services, [found], signal);
  return { headers: { etag: `"${found.snapshot.revision}"` }, body: told as WireSnapshot };
}

function pointIn({ history }: Services, { params }: RestRequest<unknown, unknown>): Promise<Found> {
  return history.get(pointOf(parseLineName(params["name"] ?? ""), params["snapshot"] ?? ""));
}

function nameIn({ params }: RestRequest<unknown, unknown>): VolumeName {
  return parseLineName(params["name"] ?? "");
}
