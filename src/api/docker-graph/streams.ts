import { Readable } from "node:stream";
import type { FastifyInstance, FastifyReply } from "fastify";
import { Failure } from "../../core/failure.ts";
import type { Log } from "../../core/ports/log.ts";
import type { Graph } from "../../services/graph.ts";
import { PLUGIN_CONTENT_TYPE } from "../shared/docker-plugin.ts";
import { parseApply, parseCall } from "./codec.ts";

/** What {@link graphStreams} works with. */
interface StreamParts {
  readonly graph: Graph;
  readonly log: Log;
}

/** The calls whose body or answer is a layer: it goes through as it comes and is never kept. */
export function graphStreams(
  { graph, log }: StreamParts,
  scope: FastifyInstance,
  signal: AbortSignal,
): void {
  scope.post("/GraphDriver.Diff", async (request, reply) => {
    const { id, parent } = parseCall(typeof request.body === "string" ? request.body : "");
    return sendStream(reply, graph.diff(id, parent, signal), log);
  });
  void scope.register((raw, _options, done) => {
    raw.removeAllContentTypeParsers();
    raw.addContentTypeParser("*", (_request, payload, parsed) => parsed(null, payload));
    raw.post("/GraphDriver.ApplyDiff", async (request, reply) => {
      const { id } = parseApply(request.query);
      const { body } = request;
      if (!(body instanceof Readable)) {
        throw new Failure(
          "invalid_argument",
          `Cannot fill layer ${id}: the request is empty (an engine repeats a broken call so); nothing was done`,
        );
      }
      // One iterator for all of it: what the one reader leaves, the other takes.
      const bytes = body.iterator({ destroyOnReturn: false });
      const { sizeBytes } = await graph.apply(id, bytes, signal).catch(async (thrown: unknown) => {
        await discard(bytes);
        throw thrown;
      });
      return reply.type(PLUGIN_CONTENT_TYPE).send({ Size: sizeBytes, Err: "" });
    });
    done();
  });
}

/** An engine that is still writing when the answer comes tells of a broken pipe, and not of what was answered. */
async function discard(bytes: AsyncIterator<unknown>): Promise<void> {
  try {
    while ((await bytes.next()).done !== true);
  } catch {
    // The engine has gone, and needs no answer.
  }
}

/** A failure before the first byte is answered as such; after it the connection breaks, so that nobody takes it for the end. */
async function sendStream(
  reply: FastifyReply,
  bytes: AsyncGenerator<Uint8Array>,
  log: Log,
): Promise<FastifyReply> {
  const first = await bytes.next();
  async function* whole(): AsyncGenerator<Uint8Array> {
    try {
      if (first.done !== true) {
        yield first.value;
        yield* bytes;
      }
    } catch (thrown) {
      log.warn("stream broken off", { error: thrown });
      throw thrown;
    } finally {
      await bytes.return(undefined);
    }
  }
  return reply.type("application/octet-stream").send(Readable.from(whole(), { objectMode: false }));
}
