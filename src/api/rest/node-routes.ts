import type { Registry } from "prom-client";
import { parseId } from "../../core/id.ts";
import { parsePoolName, parseVolumeName } from "../../core/name.ts";
import type { Operation } from "../../core/operation/operation.ts";
import type { Archive } from "../../core/ports/archive.ts";
import type { CallerFiles } from "../../core/ports/caller-files.ts";
import type { UnixMs } from "../../core/ports/clock.ts";
import type { Log } from "../../core/ports/log.ts";
import type { TreeDiff } from "../../core/ports/tree-diff.ts";
import type { Services } from "../../services/services.ts";
import { formatHealth, formatOperation, formatPool, formatTime } from "./codec.ts";
import type { EventStreams } from "./event-stream.ts";
import { takePage } from "./page.ts";
import { EVENTS_QUERY, NO_QUERY, PAGE_QUERY } from "./query.ts";
import type { WireStatus } from "./resource.ts";
import { type Route, route } from "./route.ts";
import {
  EXAMINATION,
  HEALTHZ,
  OPERATION,
  OPERATION_PAGE,
  POOL,
  POOL_PAGE,
  STATUS,
} from "./schema.ts";

/** What the routes about the daemon itself need. */
export interface NodeParts {
  readonly services: Services;
  readonly archive: Archive;
  readonly treeDiff: TreeDiff;
  readonly callerFiles: CallerFiles;
  readonly log: Log;
  readonly version: string;
  readonly startedAt: UnixMs;
  readonly streams: EventStreams;
  readonly registry: Registry;
}

/** Pools and operations. */
export function resourceRoutes({ services }: NodeParts): readonly Route[] {
  const { pools, operations } = services;
  const told = (operation: Operation) =>
    formatOperation(operation, operations.underway.copied(operation.id));
  return [
    route({
      ...{ method: "GET", path: "/v1/pools", does: "Lists pools with their health and room." },
      ...{ query: PAGE_QUERY, body: null, answers: { 200: POOL_PAGE }, fails: [] },
      work: async ({ query }, signal) => {
        const page = takePage(pools.names(), (name) => name, query);
        const items = await Promise.all(page.items.map((name) => pools.status(name, signal)));
        return { body: { ...page, items: items.map(formatPool) } };
      },
    }),
    route({
      ...{ method: "GET", path: "/v1/pools/{name}", does: "Shows a pool." },
      ...{ query: NO_QUERY, body: null, answers: { 200: POOL }, fails: ["not_found"] },
      work: async ({ params }, signal) => {
        return {
          body: formatPool(await pools.status(parsePoolName(params["name"] ?? ""), signal)),
        };
      },
    }),
    route({
      ...{ method: "GET", path: "/v1/operations", does: "Lists operations, the oldest first." },
      ...{ query: PAGE_QUERY, body: null, answers: { 200: OPERATION_PAGE }, fails: [] },
      work: async ({ query }) => {
        const page = takePage(await operations.list(), ({ id }) => id, query);
        return { body: { ...page, items: page.items.map(told) } };
      },
    }),
    route({
      ...{ method: "GET", path: "/v1/operations/{id}", does: "Shows an operation." },
      ...{ query: NO_QUERY, body: null, answers: { 200: OPERATION }, fails: ["not_found"] },
      work: async ({ params }) => {
        return { body: told(await operations.get(parseId(params["id"] ?? ""))) };
      },
    }),
    route({
      ...{ method: "POST", path: "/v1/operations/{id}/cancel" },
      does: "Stops an operation that copies something and takes back what it did; answers when that is done.",
      ...{ query: NO_QUERY, body: null, answers: { 200: OPERATION } },
      fails: ["not_found", "failed_precondition", "unavailable"],
      work: async ({ params }) => {
        return { body: told(await operations.cancel(parseId(params["id"] ?? ""))) };
      },
    }),
  ];
}

/** The daemon itself: how it is, and what it sees. */
export function nodeRoutes(parts: NodeParts): readonly Route[] {
  const { services, streams, registry } = parts;
  return [
    route({
      ...{ method: "GET", path: "/v1/status", does: "Shows the daemon in short." },
      ...{ query: NO_QUERY, body: null, answers: { 200: STATUS }, fails: [] },
      work: async () => ({ body: await statusOf(parts) }),
    }),
    route({
      ...{ method: "GET", path: "/v1/doctor" },
      does: "Looks the node over and says what is wrong, why it matters, and what to type.",
      ...{ query: NO_QUERY, body: null, answers: { 200: EXAMINATION }, fails: [] },
      work: async (_request, signal) => ({
        body: { findings: await services.doctor.examine(signal) },
      }),
    }),
    route({
      ...{ method: "GET", path: "/v1/events" },
      does: "Sends events as they happen (server-sent events; Last-Event-ID is as since).",
      ...{ query: EVENTS_QUERY, body: null, answers: { 200: "text/event-stream" } },
      fails: ["unavailable"],
      work: async ({ query, headers }) => {
        const lastId = String(headers["last-event-id"] ?? "");
        const resumed = /^\d{1,15}$/.test(lastId) ? Number(lastId) : undefined;
        if (query.follow) streams.ensureRoom();
        const since = resumed ?? query.since;
        return { stream: (response) => streams.serve(response, since, query.follow) };
      },
    }),
    route({
      ...{ method: "GET", path: "/healthz", does: "Answers when the daemon and its store do." },
      ...{ query: NO_QUERY, body: null, answers: { 200: HEALTHZ }, fails: ["unavailable"] },
      work: async () => {
        await services.volumes.find(parseVolumeName("healthz"));
        return { body: { status: "ok" } };
      },
    }),
    route({
      ...{ method: "GET", path: "/metrics", does: "Figures for Prometheus." },
      ...{ query: NO_QUERY, body: null, answers: { 200: "text/plain" }, fails: ["unavailable"] },
      work: async () => ({ text: await registry.metrics(), type: registry.contentType }),
    }),
  ];
}

async function statusOf({ services, version, startedAt }: NodeParts): Promise<WireStatus> {
  const { volumes, trash, operations, pools } = services;
  const [ready, trashed, all] = await Promise.all([
    volumes.list(),
    trash.list(),
    operations.list(),
  ]);
  return {
    version,
    startedAt: formatTime(startedAt),
    volumes: ready.length,
    trashed: trashed.length,
    runningOperations: all.filter(({ status }) => status.state === "running").length,
    pools: pools.names().map((name) => {
      const { record, health } = pools.describe(name);
      return { name, driver: record.driver, health: formatHealth(health) };
    }),
  };
}
