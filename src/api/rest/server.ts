import type { Socket } from "node:net";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { Failure } from "../../core/failure.ts";
import { quote } from "../../core/name.ts";
import type { Archive } from "../../core/ports/archive.ts";
import type { CallerFiles } from "../../core/ports/caller-files.ts";
import type { Log } from "../../core/ports/log.ts";
import type { TreeDiff } from "../../core/ports/tree-diff.ts";
import type { Services } from "../../services/services.ts";
import { logRequests } from "../shared/request-log.ts";
import { RequestMetrics } from "../shared/request-metrics.ts";
import { traceId, traceIdOf } from "../shared/trace.ts";
import { EventStreams } from "./event-stream.ts";
import {
  ANSWER_TIMEOUT_MS,
  BODY_LIMIT_BYTES,
  HEADER_LIMIT_BYTES,
  KEEP_ALIVE_MS,
  PATH_VALUE_LIMIT,
  REFUSED_BODY_MS,
  REQUEST_TIMEOUT_MS,
} from "./limits.ts";
import { addNodeMetrics } from "./metrics.ts";
import { formatProblem, PROBLEM_TYPE } from "./problem.ts";
import type { Route } from "./route.ts";
import { restRoutes } from "./routes.ts";
import { HTTP_STATUS } from "./status.ts";

/** What the door needs. */
export interface RestOptions {
  readonly services: Services;
  readonly archive: Archive;
  readonly treeDiff: TreeDiff;
  readonly callerFiles: CallerFiles;
  readonly version: string;
  readonly log: Log;
  /** Ends the work under way: the daemon's own, not the connection's. What was begun is finished though its client has gone. */
  readonly signal: AbortSignal;
  /** Figures of the process and of other doors, to be shown at `/metrics` as well. */
  readonly metrics?: RequestMetrics;
}

/** The door for people and programs: REST, described by itself at `/openapi.json`. The caller listens with it and closes it. */
export function restApp(options: RestOptions): FastifyInstance {
  const { services, version, log, signal, metrics = new RequestMetrics() } = options;
  const streams = new EventStreams(services.events);
  addNodeMetrics(metrics.registry, services, version, signal);
  const app = fastify({
    bodyLimit: BODY_LIMIT_BYTES,
    // Archives take as long as they take: of other bodies `limitTime` sees to it.
    requestTimeout: 0,
    keepAliveTimeout: KEEP_ALIVE_MS,
    forceCloseConnections: "idle",
    http: { maxHeaderSize: HEADER_LIMIT_BYTES, headersTimeout: REQUEST_TIMEOUT_MS },
    routerOptions: { maxParamLength: PATH_VALUE_LIMIT },
    clientErrorHandler: refuseUnreadable,
    // Of a URL that cannot be read no hook is told.
    frameworkErrors: (error, request, reply) => {
      void reply.header("x-request-id", traceIdOf(request.headers));
      return answerFailure(log, error, request, reply);
    },
  });
  logRequests(app, "rest", log);
  metrics.count(app, "rest");
  takeBodiesAsText(app);
  const { registry } = metrics;
  const { archive, treeDiff, callerFiles } = options;
  const parts = { services, version, startedAt: Date.now(), streams, registry };
  const routes = restRoutes({ ...parts, archive, treeDiff, callerFiles, log });
  const streaming = new Set(routes.filter((row) => row.bodyStream !== undefined).map(urlOf));
  limitTime(app, streaming);
  void app.register((scope, _options, registered) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", (_request, payload, done) => done(null, payload));
    for (const row of routes) if (streaming.has(urlOf(row))) addRoute(scope, row, signal);
    registered();
  });
  for (const row of routes) if (!streaming.has(urlOf(row))) addRoute(app, row, signal);
  app.addHook("preClose", async () => streams.close());
  app.setNotFoundHandler((request, reply) => answerUnknown(routes, request, reply));
  app.setErrorHandler((thrown, request, reply) => answerFailure(log, thrown, request, reply));
  return app;
}

/** `/v1/volumes/{name}` → `/v1/volumes/:name`. */
function urlOf({ path }: Route): string {
  return path.replace(/\{(\w+)\}/g, ":$1");
}

/** Cuts off whoever takes longer than {@link REQUEST_TIMEOUT_MS} to send a body that is not streamed. */
function limitTime(app: FastifyInstance, streaming: ReadonlySet<string>): void {
  const timers = new WeakMap<FastifyRequest, NodeJS.Timeout>();
  app.addHook("onRequest", (request, _reply, done) => {
    done();
    const { raw } = request;
    if (raw.complete || streaming.has(request.routeOptions.url ?? "")) return;
    const late = Object.assign(new Error("late"), { code: "ERR_HTTP_REQUEST_TIMEOUT" });
    const timer = setTimeout(() => {
      if (!raw.complete) refuseUnreadable(late, raw.socket);
    }, REQUEST_TIMEOUT_MS);
    raw.once("end", () => clearTimeout(timer));
    raw.once("close", () => clearTimeout(timer));
    timers.set(request, timer);
  });
  // Also of a request that was answered before it was read.
  app.addHook("onResponse", (request, _reply, done) => {
    clearTimeout(timers.get(request));
    done();
  });
}

function addRoute(app: FastifyInstance, route: Route, signal: AbortSignal): void {
  app.route({
    method: route.method,
    url: urlOf(route),
    bodyLimit: route.bodyStream === undefined ? BODY_LIMIT_BYTES : Number.MAX_SAFE_INTEGER,
    handler: async (request, reply) => {
      const gone = new AbortController();
      reply.raw.once("close", () => gone.abort(GONE));
      const raw = {
        params: request.params as Readonly<Record<string, string>>,
        query: request.query,
        body: bodyOf(route, request),
        headers: request.headers,
        // A reader that stops early must not end the connection: the client is to hear why.
        stream: { [Symbol.asyncIterator]: () => request.raw.iterator({ destroyOnReturn: false }) },
        gone: gone.signal,
        connection: request.raw.socket,
      };
      const work = () => route.serve(raw, signal);
      const timed = route.bodyStream === undefined && route.untimed !== true;
      const answer = await (timed ? withinTime(route, work) : work());
      if ("stream" in answer) {
        reply.hijack();
        for (const [name, value] of Object.entries(reply.getHeaders())) {
          if (value !== undefined) reply.raw.setHeader(name, value);
        }
        if (request.method === "HEAD") reply.raw.end();
        else answer.stream(reply.raw);
        return reply;
      }
      if ("text" in answer) return reply.type(answer.type).send(answer.text);
      return reply
        .code(answer.status ?? 200)
        .headers(answer.headers ?? {})
        .type("application/json; charset=utf-8")
        .send(JSON.stringify(answer.body));
    },
  });
}

const GONE = new Failure("cancelled", "The client has gone");

/** Bodies come as text whatever they say they are: {@link bodyOf} tells people what is wrong with one. */
function takeBodiesAsText(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => {
    try {
      done(null, new TextDecoder("utf-8", { fatal: true }).decode(body as Buffer));
    } catch {
      done(new Failure("invalid_argument", "Cannot read the request body: it is not UTF-8"));
    }
  });
}

function bodyOf(route: Route, request: FastifyRequest): string {
  if (route.bodyStream !== undefined) return "";
  const body = typeof request.body === "string" ? request.body : "";
  if (body === "") {
    if (route.body === null || route.bodyOptional === true) return "";
    throw new Failure("invalid_argument", "Cannot read the request body: it is empty; give JSON");
  }
  if (route.body === null) {
    throw new Failure(
      "invalid_argument",
      `Cannot answer ${request.method} ${route.path}: it takes no body`,
    );
  }
  const type = request.headers["content-type"] ?? "application/json";
  if (/^application\/([\w.-]+\+)?json\s*(;|$)/i.test(type)) return body;
  throw new Refusal(
    415,
    new Failure(
      "invalid_argument",
      `Cannot read the request body: it says it is ${quote(type)}; send application/json`,
    ),
  );
}

/** A failure whose status is not its code's. */
class Refusal extends Error {
  readonly status: number;
  readonly failure: Failure;

  constructor(status: number, failure: Failure) {
    super(failure.message);
    this.status = status;
    this.failure = failure;
  }
}

async function withinTime<T>(route: Route, work: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      const message = `Cannot wait for ${route.method} ${route.path} any longer: it has taken ${ANSWER_TIMEOUT_MS / 1000} seconds; it goes on, see "lagan operation ls"`;
      reject(new Failure("deadline_exceeded", message));
    }, ANSWER_TIMEOUT_MS);
  });
  try {
    return await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}

function answerFailure(
  log: Log,
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const { failure, status } = refusalOf(thrown, request);
  const route = request.routeOptions.url ?? "unknown";
  const fields = { route, code: failure.code, status };
  if (status >= 500) log.error("request failed", { ...fields, error: thrown });
  else log.debug("request refused", { ...fields, why: failure.message });
  return sendProblem(reply, failure, status);
}

function refusalOf(
  thrown: unknown,
  request: FastifyRequest,
): { readonly failure: Failure; readonly status: number } {
  if (thrown instanceof Refusal) return thrown;
  const own = fastifyRefusal(thrown);
  if (own !== undefined) return own;
  const failure = Failure.from(thrown);
  const conflict = failure.code === "aborted" && request.headers["if-match"] !== undefined;
  return { failure, status: conflict ? 412 : HTTP_STATUS[failure.code] };
}

/** What the HTTP library itself refuses: its codes start with FST_. */
function fastifyRefusal(thrown: unknown): Refusal | undefined {
  if (!(thrown instanceof Error) || !("statusCode" in thrown) || !("code" in thrown)) return;
  const status = Number(thrown.statusCode);
  if (!(status >= 400 && status < 500)) return;
  const why =
    status === 413 ? `the body is larger than ${BODY_LIMIT_BYTES} bytes` : quote(thrown.message);
  return new Refusal(status, new Failure("invalid_argument", `Cannot read the request: ${why}`));
}

function answerUnknown(
  routes: readonly Route[],
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const path = request.url.split("?")[0] ?? "";
  const shown = quote(path).slice(1, -1);
  const methods = routes.filter((route) => matches(route, path)).map(({ method }) => method);
  if (methods.length === 0) {
    const message = `Cannot find ${shown}: there is no such resource; GET /openapi.json lists them`;
    return sendProblem(reply, new Failure("not_found", message), 404);
  }
  const allowed = [...new Set(methods.flatMap((m) => (m === "GET" ? [m, "HEAD"] : [m])))];
  void reply.header("allow", allowed.join(", "));
  const message = `Cannot ${request.method} ${shown}: allowed are ${allowed.join(", ")}`;
  return sendProblem(reply, new Failure("unimplemented", message), 405);
}

function matches({ path }: Route, asked: string): boolean {
  const parts = path.split("/");
  const given = asked.split("/");
  return (
    parts.length === given.length &&
    parts.every((part, index) =>
      part.startsWith("{") ? given[index] !== "" : part === given[index],
    )
  );
}

function sendProblem(reply: FastifyReply, failure: Failure, status: number): FastifyReply {
  const id = traceId() ?? String(reply.getHeader("x-request-id") ?? "");
  endLater(reply);
  return reply
    .code(status)
    .type(PROBLEM_TYPE)
    .send(JSON.stringify(formatProblem(failure, id, status)));
}

/**
 * After a refusal the rest of a body is taken and thrown away for a while, so that the client comes to read why; one that
 * sends on all the same is cut off.
 */
function endLater({ raw, request }: FastifyReply): void {
  if (request.raw.complete) return;
  // Also of a client that wants the connection closed: Node would do so under what he still sends.
  raw.shouldKeepAlive = true;
  raw.once("finish", () => {
    if (request.raw.complete) return;
    request.raw.resume();
    const timer = setTimeout(() => request.raw.destroy(), REFUSED_BODY_MS);
    request.raw.once("close", () => clearTimeout(timer));
  });
}

/** Answers bytes that are no HTTP request, which never reach a route. */
function refuseUnreadable(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, why] =
    error.code === "HPE_HEADER_OVERFLOW"
      ? ([431, `its headers are larger than ${HEADER_LIMIT_BYTES} bytes`] as const)
      : error.code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? ([408, `it was not whole after ${REQUEST_TIMEOUT_MS / 1000} seconds`] as const)
        : ([400, "it is not HTTP"] as const);
  const failure = new Failure("invalid_argument", `Cannot read the request: ${why}`);
  const body = JSON.stringify(formatProblem(failure, "", status));
  socket.end(
    `HTTP/1.1 ${status} Refused\r\nContent-Type: ${PROBLEM_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
