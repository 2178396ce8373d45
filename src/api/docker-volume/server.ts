import fastify, { type FastifyInstance, type FastifyReply } from "fastify";
import { Failure } from "../../core/failure.ts";
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
  const app = fastify({ bodyLimit: BODY_LIMIT_BYTES, forceCloseConnections: "idle" });
  logRequests(app, "docker-volume", options.log);
  // Docker sends no Content-Type and Podman one of its own, so the body is taken as text whatever it says.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "string" }, (_request, body, done) => done(null, body));
  for (const [url, route] of Object.entries(volumeRoutes(options))) {
    app.post(url, async (request, reply) => {
      const body = typeof request.body === "string" ? request.body : "";
      return reply.type(CONTENT_TYPE).send(await route(body, signal));
    });
  }
  app.setNotFoundHandler((request, reply) => {
    const message = `Cannot answer ${request.method} ${request.url}: lagan does not know this call`;
    return refuse(reply, 404, message);
  });
  app.setErrorHandler((thrown, request, reply) => {
    if (isTooLarge(thrown)) {
      return refuse(
        reply,
        500,
        `Cannot read the request: it is larger than ${BODY_LIMIT_BYTES} bytes`,
      );
    }
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

function isTooLarge(thrown: unknown): boolean {
  return (
    thrown instanceof Error && "code" in thrown && thrown.code === "FST_ERR_CTP_BODY_TOO_LARGE"
  );
}
