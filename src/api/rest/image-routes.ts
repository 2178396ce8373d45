import { parseLineName } from "../../core/history/ref.ts";
import type { NamedImage } from "../../core/image/image.ts";
import { normalPlatform, parsePlatform } from "../../core/image/platform.ts";
import { parseReference } from "../../core/image/reference.ts";
import type { Log } from "../../core/ports/log.ts";
import { type BringOptions, parseTag } from "../../services/images.ts";
import type { Services } from "../../services/services.ts";
import { pointOf } from "./history-codec.ts";
import { formatRemoved, imageTeller, parseRegistryAuth } from "./image-codec.ts";
import {
  COMMIT_IMAGE_QUERY,
  IMAGE,
  IMAGE_PAGE,
  IMAGES,
  IMPORT_IMAGE_QUERY,
  type ImportImageQuery,
  PRUNE_IMAGES,
  PRUNED,
  PULL,
  REMOVE_IMAGE_QUERY,
  REMOVED_IMAGE,
} from "./image-schema.ts";
import type { NodeParts } from "./node-routes.ts";
import { takePage } from "./page.ts";
import { NO_QUERY, PAGE_QUERY } from "./query.ts";
import { type RestAnswer, type RestRequest, type Route, route } from "./route.ts";
import { treeOf } from "./stream-routes.ts";
import { streamWhile } from "./streaming.ts";

const TAR = "application/x-tar";
const ALL = "/v1/images";
const ONE = "/v1/images/{image}";
const BRINGING_FAILS = [
  ...["failed_precondition", "not_found", "unavailable", "resource_exhausted", "data_loss"],
  ...["unimplemented", "permission_denied", "unauthenticated", "cancelled", "out_of_range"],
] as const;

/** Images: brought, shown, removed. */
export function imageRoutes({ services, log }: NodeParts): readonly Route[] {
  const { images } = services;
  return [
    route({
      ...{ method: "GET", path: ALL, does: "Lists images by id." },
      ...{ query: PAGE_QUERY, body: null, answers: { 200: IMAGE_PAGE }, fails: [] },
      work: async ({ query }) => {
        const all = (await images.list()).toSorted((a, b) => (a.id < b.id ? -1 : 1));
        const page = takePage(all, ({ id }) => id, query);
        return { body: { ...page, items: page.items.map(await imageTeller(services)) } };
      },
    }),
    route({
      ...{ method: "GET", path: ONE, does: "Shows an image, by name, id or its beginning." },
      ...{ query: NO_QUERY, body: null, answers: { 200: IMAGE }, fails: ["not_found"] },
      work: async (request) => {
        const image = await images.get(textIn(request));
        return { body: (await imageTeller(services))(image) };
      },
    }),
    route({
      ...{ method: "DELETE", path: ONE },
      does: "Takes a name away, and with the last one the image; by id all of it.",
      ...{ query: REMOVE_IMAGE_QUERY, body: null, answers: { 200: REMOVED_IMAGE } },
      fails: ["not_found", "failed_precondition"],
      work: async (request) => {
        const force = request.query.force ?? false;
        return { body: formatRemoved(await images.remove(textIn(request), { force })) };
      },
    }),
    route({
      ...{ method: "POST", path: `${ALL}/prune` },
      does: "Removes images without a name, or all from which no volume was made.",
      ...{ query: NO_QUERY, body: PRUNE_IMAGES, bodyOptional: true, answers: { 200: PRUNED } },
      fails: ["unavailable"],
      work: async ({ body: { all = false } }) => {
        const removed = await images.prune({ all });
        return { body: { removed: removed.map(formatRemoved) } };
      },
    }),
    ...bringingRoutes(services),
    commitRoute(services, log),
  ];
}

function bringingRoutes(services: Services): readonly Route[] {
  const { images } = services;
  return [
    route({
      ...{ method: "POST", path: `${ALL}/import` },
      does: "Brings the images of an OCI layout or a docker save as tar, plain or compressed by gzip or zstd.",
      ...{ query: IMPORT_IMAGE_QUERY, body: null, bodyStream: TAR },
      ...{ answers: { 201: IMAGES }, fails: BRINGING_FAILS },
      work: async ({ query, stream, gone }, signal) => {
        const ended = AbortSignal.any([signal, gone]);
        return brought(services, await images.importArchive(stream, optionsOf(query), ended));
      },
    }),
    route({
      ...{ method: "POST", path: `${ALL}/pull`, does: "Brings an image from its registry." },
      ...{ query: NO_QUERY, body: PULL, untimed: true },
      ...{ answers: { 201: IMAGES }, fails: BRINGING_FAILS },
      work: async ({ body, headers, gone }, signal) => {
        const credentials = parseRegistryAuth(headers["x-registry-auth"]);
        const options = { ...optionsOf(body), credentials };
        const ended = AbortSignal.any([signal, gone]);
        return brought(services, await images.pull(parseReference(body.reference), options, ended));
      },
    }),
  ];
}

function commitRoute(services: Services, log: Log): Route {
  return route({
    ...{ method: "GET", path: "/v1/volumes/{name}/image" },
    does: "Sends a snapshot or volume as an image of one layer: an OCI layout that docker load takes, as tar.",
    ...{ query: COMMIT_IMAGE_QUERY, body: null, answers: { 200: TAR } },
    fails: ["not_found", "failed_precondition", "unavailable", "data_loss", "aborted"],
    work: async ({ params, query, gone }, signal) => {
      const line = parseLineName(params["name"] ?? "");
      const tree = await treeOf(services, query.at === undefined ? line : pointOf(line, query.at));
      const request = {
        ...{ tree, name: parseTag(query.tag), createdAt: tree.createdAt ?? 0 },
        title: query.at === undefined ? line : `${line}@${query.at}`,
        platform: normalPlatform({ os: "linux", architecture: process.arch, variant: null }),
      };
      const ended = AbortSignal.any([signal, gone]);
      return streamWhile({ head: { "content-type": TAR }, log, gone }, (send) =>
        services.images.commits.write(request, send, ended),
      );
    },
  });
}

function optionsOf({ platform, tag }: ImportImageQuery): BringOptions {
  return {
    platform: platform === undefined ? null : parsePlatform(platform),
    name: tag === undefined ? null : parseTag(tag),
  };
}

async function brought(services: Services, images: readonly NamedImage[]): Promise<RestAnswer> {
  return { status: 201, body: { images: images.map(await imageTeller(services)) } };
}

function textIn({ params }: RestRequest<unknown, unknown>): string {
  return params["image"] ?? "";
}
