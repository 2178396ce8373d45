import { Failure } from "../../core/failure.ts";
import { parseLineName, parseRef, type Ref } from "../../core/history/ref.ts";
import { parseAuthor } from "../../core/history/snapshot.ts";
import type { LayerId } from "../../core/id.ts";
import { type PoolName, parseVolumeName, type VolumeName } from "../../core/name.ts";
import type { Unpacked } from "../../core/ports/archive.ts";
import type { UnixMs } from "../../core/ports/clock.ts";
import type { TreeChange } from "../../core/ports/tree-diff.ts";
import { parseVolumeOptions } from "../../core/volume/options.ts";
import type { Volume } from "../../core/volume/volume.ts";
import type { Services } from "../../services/services.ts";
import { tellerOf } from "./facts.ts";
import { pointOf } from "./history-codec.ts";
import type { WireDiffSummary } from "./history-resource.ts";
import { EXPORT_BODY, EXPORTED, IMPORTED } from "./history-schema.ts";
import { DIFF_CHUNK_BYTES } from "./limits.ts";
import type { NodeParts } from "./node-routes.ts";
import { DIFF_QUERY, EXPORT_QUERY, IMPORT_QUERY, NO_QUERY } from "./query.ts";
import { type RestRequest, type Route, route } from "./route.ts";
import { streamWhile } from "./streaming.ts";

const ONE = "/v1/volumes/{name}";
const TAR = "application/x-tar";

/** What is sent or taken as it comes, however long: comparisons and archives. */
export function streamRoutes(parts: NodeParts): readonly Route[] {
  return [diffRoute(parts), exportRoute(parts), exportIntoRoute(parts), importRoute(parts)];
}

function diffRoute({ services, treeDiff, log }: NodeParts): Route {
  return route({
    ...{ method: "GET", path: `${ONE}/diff`, does: "Says what differs between two trees." },
    ...{ query: DIFF_QUERY, body: null, answers: { 200: "application/x-ndjson" } },
    fails: ["not_found", "unavailable", "out_of_range"],
    work: async (request, signal) => {
      const from = parseRef(request.query.from);
      const to = request.query.to === undefined ? nameIn(request) : parseRef(request.query.to);
      const before = await treeOf(services, from);
      const after = await treeOf(services, to);
      const ended = AbortSignal.any([signal, request.gone]);
      const head = { "content-type": "application/x-ndjson; charset=utf-8" };
      const readOnly = { readOnly: true };
      return streamWhile({ head, log, gone: request.gone }, (send) =>
        services.layers.withPath(
          before,
          readOnly,
          (one) =>
            services.layers.withPath(
              after,
              readOnly,
              (other) => send(linesOf(treeDiff.compare(one, other, ended))),
              ended,
            ),
          ended,
        ),
      );
    },
  });
}

function exportRoute({ services, archive, log }: NodeParts): Route {
  return route({
    ...{ method: "GET", path: `${ONE}/export`, does: "Sends a snapshot or volume as tar." },
    ...{ query: EXPORT_QUERY, body: null, answers: { 200: TAR } },
    fails: ["not_found", "failed_precondition", "unavailable", "data_loss"],
    work: async (request, signal) => {
      const { at, compress } = request.query;
      const name = nameIn(request);
      const tree = await treeOf(services, at === undefined ? name : pointOf(name, at));
      const ended = AbortSignal.any([signal, request.gone]);
      // Of a volume that is written meanwhile each file is as it was when its turn came.
      const options = { live: tree.live, ...(compress !== undefined && { compress }) };
      const head = { "content-type": compress === undefined ? TAR : "application/zstd" };
      return streamWhile({ head, log, gone: request.gone }, (send) =>
        services.layers.withPath(
          tree,
          { readOnly: true },
          (path) => send(archive.pack(path, options, ended)),
          ended,
        ),
      );
    },
  });
}

function exportIntoRoute({ services, archive, callerFiles }: NodeParts): Route {
  return route({
    ...{ method: "POST", path: `${ONE}/export`, untimed: true },
    does: "Writes a snapshot or volume as tar to an open file or pipe of the client, which must be root's and on this machine.",
    ...{ query: NO_QUERY, body: EXPORT_BODY, answers: { 200: EXPORTED } },
    fails: [
      ...["not_found", "failed_precondition", "unavailable", "data_loss", "aborted"],
      ...["unimplemented", "resource_exhausted", "permission_denied", "cancelled"],
    ] as const,
    work: async (request, signal) => {
      const { at, file: number, inode } = request.body;
      const name = nameIn(request);
      const tree = await treeOf(services, at === undefined ? name : pointOf(name, at));
      const ended = AbortSignal.any([signal, request.gone]);
      const file = await callerFiles.take(request.connection, { number, inode }, "write");
      try {
        const { live } = tree;
        const pack = (path: string) => archive.packInto(path, file.descriptor, { live }, ended);
        const bytes = await services.layers.withPath(tree, { readOnly: true }, pack, ended);
        return { body: { bytes } };
      } finally {
        file.close();
      }
    },
  });
}

function importRoute({ services, archive, callerFiles }: NodeParts): Route {
  return route({
    ...{ method: "POST", path: `${ONE}/import` },
    does: "Makes a volume from a tar, plain or compressed by zstd or gzip; it is seen when it is whole.",
    ...{ query: IMPORT_QUERY, body: null, bodyStream: TAR, answers: { 201: IMPORTED } },
    fails: [
      ...["already_exists", "failed_precondition", "not_found", "out_of_range", "aborted"],
      ...["unavailable", "resource_exhausted", "unimplemented", "permission_denied", "cancelled"],
      "data_loss",
    ] as const,
    work: async (request, signal) => {
      const name = parseVolumeName(request.params["name"] ?? "");
      const { option = [], devices = false, author: asks, file: number, inode } = request.query;
      const options = parseVolumeOptions(Object.fromEntries(option.map(pairOf)));
      if (options.from !== undefined) {
        throw new Failure(
          "invalid_argument",
          "Cannot use from for an archive: the archive is the content",
        );
      }
      if ((await services.volumes.find(name)) !== undefined) {
        throw taken(name);
      }
      const file =
        number === undefined
          ? undefined
          : await callerFiles.take(request.connection, { number, inode }, "read");
      let unpacked: Unpacked | undefined;
      const unpack = async ({ head, spec }: Volume, cancelled: AbortSignal): Promise<void> => {
        const ended = AbortSignal.any([cancelled, request.gone]);
        const stream = file?.content() ?? request.stream;
        unpacked = await services.layers.withPath(
          { pool: spec.pool, layer: head },
          { readOnly: false },
          (path) => archive.unpack(stream, path, { limitBytes: null, devices }, ended),
          ended,
        );
      };
      const author = parseAuthor(asks ?? "");
      const made = await services.volumes
        .create(name, options, signal, { author, fill: unpack })
        .finally(() => file?.close());
      if (unpacked === undefined) {
        throw taken(name);
      }
      const { entries, receivedBytes, sha256, notes } = unpacked;
      const volume = (await tellerOf(services)).volume(made);
      return { status: 201, body: { volume, entries, receivedBytes, sha256, notes } };
    },
  });
}

/** Where a tree is: of a volume or branch as it is now, or of a snapshot. */
export interface Tree {
  readonly pool: PoolName;
  readonly layer: LayerId;
  /** True: it may be written meanwhile. */
  readonly live: boolean;
  /** Of a snapshot. */
  readonly createdAt?: UnixMs;
}

/** @throws {Failure} `not_found`. */
export async function treeOf({ volumes, history }: Services, of: Ref | VolumeName): Promise<Tree> {
  const name = typeof of === "string" ? of : of.at === null ? of.volume : `${of.volume}@${of.at}`;
  const line = await volumes.find(name as VolumeName);
  if (line !== undefined) {
    return { pool: line.value.spec.pool, layer: line.value.head, live: true };
  }
  if (typeof of === "string" || of.at === null) {
    throw new Failure("not_found", `Cannot find volume "${name}": it does not exist`);
  }
  const { line: found, snapshot } = await history.get(of);
  return {
    pool: found.value.spec.pool,
    layer: snapshot.value.layer,
    live: false,
    createdAt: snapshot.value.createdAt,
  };
}

/** A line for each difference, and one that sums them up. */
async function* linesOf(changes: AsyncIterable<TreeChange>): AsyncGenerator<string> {
  const summary = { added: 0, changed: 0, removed: 0, bytesBefore: 0, bytesAfter: 0 };
  let text = "";
  for await (const change of changes) {
    summary[change.kind] += 1;
    summary.bytesBefore += change.bytesBefore;
    summary.bytesAfter += change.bytesAfter;
    text += `${JSON.stringify(change)}\n`;
    if (text.length < DIFF_CHUNK_BYTES) continue;
    yield text;
    text = "";
  }
  const last: { readonly summary: WireDiffSummary } = { summary };
  yield `${text}${JSON.stringify(last)}\n`;
}

function taken(name: VolumeName): Failure {
  return new Failure(
    "already_exists",
    `Cannot make volume "${name}" of an archive: there is one of that name`,
  );
}

function pairOf(text: string): readonly [string, string] {
  const equals = text.indexOf("=");
  return [text.slice(0, equals), text.slice(equals + 1)];
}

function nameIn({ params }: RestRequest<unknown, unknown>): VolumeName {
  return parseLineName(params["name"] ?? "");
}
