import type { FastifyInstance } from "fastify";
import type { Log } from "../../core/ports/log.ts";
import { runTraced, traceIdOf } from "./trace.ts";

/**
 * Gives every request of `app` a trace id, answered as `X-Request-Id`, and writes one log line for each at its end:
 * door, method, route, status and milliseconds. Health checks and metrics are logged at debug level.
 */
export function logRequests(app: FastifyInstance, door: string, log: Log): void {
  app.addHook("onRequest", (request, reply, done) => {
    const id = traceIdOf(request.headers);
    void reply.header("x-request-id", id);
    runTraced(id, done);
  });
  app.addHook("onResponse", (request, reply, done) => {
    const route = request.routeOptions.url ?? "unknown";
    const quiet = route === "/healthz" || route === "/metrics";
    log[quiet ? "debug" : "info"]("request", {
      door,
      method: request.method,
      route,
      status: reply.statusCode,
      durationMs: Math.round(reply.elapsedTime * 10) / 10,
    });
    done();
  });
}
