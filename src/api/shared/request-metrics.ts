import type { FastifyInstance } from "fastify";
import { Counter, collectDefaultMetrics, Histogram, Registry } from "prom-client";

/** Seconds in which a request is answered: from a read of the store to a walk through a tree. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60];

/** Figures for Prometheus: of the process, and of the requests of every door that is counted. */
export class RequestMetrics {
  readonly registry: Registry = new Registry();
  readonly #requests: Counter<"door" | "method" | "route" | "code">;
  readonly #durations: Histogram<"door" | "method" | "route">;

  constructor() {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry, prefix: "lagan_" });
    this.#requests = new Counter({
      name: "lagan_http_requests_total",
      help: "Requests answered.",
      labelNames: ["door", "method", "route", "code"],
      registers,
    });
    this.#durations = new Histogram({
      name: "lagan_http_request_duration_seconds",
      help: "Time from a request's head to the end of its answer.",
      labelNames: ["door", "method", "route"],
      buckets: BUCKETS,
      registers,
    });
  }

  /** Counts the requests of `app`, which is not listening yet, under the name of its door. */
  count(app: FastifyInstance, door: string): void {
    app.addHook("onResponse", (request, reply, done) => {
      const { method } = request;
      // The route's pattern, never its values: there must not be a series for every name.
      const route = request.routeOptions.url ?? "unknown";
      this.#requests.inc({ door, method, route, code: String(reply.statusCode) });
      this.#durations.observe({ door, method, route }, reply.elapsedTime / 1000);
      done();
    });
  }
}
