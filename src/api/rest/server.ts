import fastify, { type FastifyInstance } from "fastify";
import type { Log } from "../../core/ports/log.ts";
import type { Services } from "../../services/services.ts";
import { logRequests } from "../shared/request-log.ts";

/** The door for people and tools: REST on a unix socket. The caller listens with it and closes it. */
export function restApp(options: {
  readonly services: Services;
  readonly log: Log;
  readonly version: string;
  readonly signal: AbortSignal;
}): FastifyInstance {
  const app = fastify();
  logRequests(app, "rest", options.log);
  app.get("/healthz", async () => ({ status: "ok", version: options.version }));
  return app;
}
