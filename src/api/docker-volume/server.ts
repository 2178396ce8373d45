import fastify, { type FastifyInstance, type FastifyReply } from "fastify";
import { Failure } from "../../core/failure.ts";
import { quote } from "../../core/name.ts";
import { logRequests } from "../shared/request-log.ts";
import { BODY_LIMIT_BYTES } from "./codec.ts";
import { type DoorOptions, SURE_CALLS, volumeRoutes } from "./routes.ts";
import { WHEN_ASKED_FOR_A_VOLUME } from "./status.ts";

const CONTENT_TYPE = "application/vnd.docker.plugins.v1.1+json";

/**
 * The door for engines that speak Docker's volume plugin protocol. The caller listens with it and closes it.
 *
 * @param signal Ends the work under way: the daemon's own, not the connection's. An engine that gives up finds
 * the work done when it comes again.
 */
export function dockerVolumeApp(options: DoorOptions, signal: AbortSignal): FastifyInstance {
  const app = fastify({
    bodyLimit: BODY_LIMIT_BYTES,
    forceCloseConnections: "idle",
    // Of a URL that cannot be read no route and no hook is told.
    frameworkErrors: (error, _request, reply) =>
      refuse(reply, 400, unreadable(quote(error.message))),
  });
  logRequests(app, "docker-volume", options.log);
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
  for (const [url, route] of Object.entries(volumeRoutes(options))) {
    app.post(url, async (request, reply) => {
      const body = typeof request.body === "string" ? request.body : "";
      return reply.type(CONTENT_TYPE).send(await route(body, signal));
    });
  }
  app.setNotFoundHandler((request, reply) => {
    const call = quote(`${request.method} ${request.url}`).slice(1, -1);
    return refuse(reply, 404, `Cannot answer ${call}: lagan does not know this call`);
  });
  app.setErrorHandler((thrown, request, reply) => {
    const why = libraryRefusal(thrown);
    if (why !== undefined) return refuse(reply, 500, unreadable(why));
    const failure = Failure.from(thrown);
    options.log.warn("call failed", { route: request.url, code: failure.code, error: thrown });
    if (SURE_CALLS.has(request.url) && WHEN_ASKED_FOR_A_VOLUME[failure.code] === "hang-up") {
      reply.hijack();
      request.raw.socket.destroy();
      return;
    }
    return refuse(reply, 500, failure.message);
  });
  return app;
}

function refuse(reply: FastifyReply, status: number, message: string): FastifyReply {
  return reply.code(status).type(CONTENT_TYPE).send({ Err: message });
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
