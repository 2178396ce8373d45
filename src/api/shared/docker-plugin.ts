import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { Failure, type FailureCode } from "../../core/failure.ts";
import { quote } from "../../core/name.ts";
import type { Log } from "../../core/ports/log.ts";
import { logRequests } from "./request-log.ts";

/** Largest request body, in bytes. A request of Docker is a few hundred; a layer is a stream and no body. */
export const BODY_LIMIT_BYTES: number = 1024 ** 2;

/** What the engine takes every answer for. */
export const PLUGIN_CONTENT_TYPE = "application/vnd.docker.plugins.v1.1+json";

/** Answers one call: from the body as text to what goes out as JSON. */
export type PluginRoute = (
  body: string,
  signal: AbortSignal,
) => Promise<Readonly<Record<string, unknown>>>;

/** One of the protocols that engines speak with the plugin, all of them on its one socket. */
export interface PluginFace {
  /** As `/Plugin.Activate` names it: `VolumeDriver`, `GraphDriver`. */
  readonly protocol: string;
  /** The key is the path of the POST. */
  readonly routes: Readonly<Record<string, PluginRoute>>;
  /** Calls that are no JSON both ways, in a scope of their own: what they set holds for them alone. */
  streams?(scope: FastifyInstance, signal: AbortSignal): void;
  /** True when a failure of the call must not be answered at all: then the engine repeats it. */
  hangsUp?(url: string, code: FailureCode): boolean;
}

/** What {@link dockerPluginApp} needs. */
export interface PluginOptions {
  readonly faces: readonly PluginFace[];
  readonly log: Log;
  /** Called when an engine makes contact: it may have restarted, so what it told before may be stale. */
  readonly onActivate: () => void;
  /** Called at every call of an engine. */
  readonly onCall: () => void;
}

/**
 * The door for engines that speak Docker's plugin protocol, v1. The caller listens with it and closes it.
 *
 * @param signal Ends the work under way: the daemon's own, not the connection's. An engine that gives up finds
 * the work done when it comes again.
 */
export function dockerPluginApp(options: PluginOptions, signal: AbortSignal): FastifyInstance {
  const { faces, log } = options;
  const app = fastify({
    bodyLimit: BODY_LIMIT_BYTES,
    forceCloseConnections: "idle",
    // Of a URL that cannot be read no route and no hook is told.
    frameworkErrors: (error, _request, reply) =>
      refuse(reply, 400, unreadable(quote(error.message))),
  });
  logRequests(app, "docker-plugin", log);
  app.addHook("onRequest", (_request, _reply, done) => {
    options.onCall();
    done();
  });
  // Docker sends no Content-Type and Podman one of its own, so the body is taken as text whatever it says.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => {
    try {
      done(null, new TextDecoder("utf-8", { fatal: true }).decode(body as Buffer));
    } catch {
      done(new Failure("invalid_argument", unreadable("its body is not UTF-8")));
    }
  });
  const answer = (url: string, route: PluginRoute): void => {
    app.post(url, async (request, reply) => {
      const body = typeof request.body === "string" ? request.body : "";
      return reply.type(PLUGIN_CONTENT_TYPE).send(await route(body, signal));
    });
  };
  answer("/Plugin.Activate", async () => {
    options.onActivate();
    return { Implements: faces.map(({ protocol }) => protocol) };
  });
  for (const face of faces) {
    for (const [url, route] of Object.entries(face.routes)) answer(url, route);
    void app.register((scope, _options, done) => {
      face.streams?.(scope, signal);
      done();
    });
  }
  app.setNotFoundHandler((request, reply) => {
    const call = quote(`${request.method} ${request.url}`).slice(1, -1);
    return refuse(reply, 404, `Cannot answer ${call}: lagan does not know this call`);
  });
  app.setErrorHandler((thrown, request, reply) => fail(options, thrown, request, reply));
  return app;
}

function fail(
  { faces, log }: PluginOptions,
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const why = libraryRefusal(thrown);
  if (why !== undefined) return refuse(reply, 500, unreadable(why));
  const failure = Failure.from(thrown);
  // Without the query: it holds names of the engine's.
  const route = request.routeOptions.url ?? "unknown";
  log.warn("call failed", { route, code: failure.code, error: thrown });
  if (faces.some((face) => face.hangsUp?.(route, failure.code))) {
    reply.hijack();
    request.raw.socket.destroy();
    return reply;
  }
  return refuse(reply, 500, failure.message);
}

function refuse(reply: FastifyReply, status: number, message: string): FastifyReply {
  return reply.code(status).type(PLUGIN_CONTENT_TYPE).send({ Err: message });
}

function unreadable(why: string): string {
  return `Cannot read the request: ${why}`;
}

/** Why the HTTP library refuses a request by itself; undefined when it was not the library. */
function libraryRefusal(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !("statusCode" in thrown)) return undefined;
  const status = Number(thrown.statusCode);
  if (!(status >= 400 && status < 500)) return undefined;
  return status === 413 ? `it is larger than ${BODY_LIMIT_BYTES} bytes` : quote(thrown.message);
}
