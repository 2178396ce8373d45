import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  type Metadata,
  type ServiceDefinition,
  status,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { Failure, type FailureCode } from "../../core/failure.ts";
import type { Log } from "../../core/ports/log.ts";
import { runTraced, traceIdOf } from "./trace.ts";

/** What a call brings beside its request. */
export interface Call {
  /** Aborts when the caller has gone away, or its deadline has passed. */
  readonly signal: AbortSignal;
  /** The first value of a header, by its lower-case name. */
  header(name: string): string | undefined;
}

type WorkOf<Method> = Method extends {
  readonly requestDeserialize: (bytes: Buffer) => infer Request;
  readonly responseDeserialize: (bytes: Buffer) => infer Response;
  readonly responseStream: infer Stream;
}
  ? Stream extends true
    ? (request: Request, call: Call) => AsyncIterable<Response>
    : (request: Request, call: Call) => Promise<Response>
  : never;

/** One function for each method of a generated service definition: of a stream it gives what is sent, one by one. */
export type Works<Definition> = {
  readonly [Method in keyof Definition]: WorkOf<Definition[Method]>;
};

/** A service that a gRPC server can serve. */
export interface GrpcService {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

/** gRPC's status of each failure. The Record type makes a forgotten code a compile error. */
export const GRPC_STATUS: Readonly<Record<FailureCode, status>> = {
  cancelled: status.CANCELLED,
  unknown: status.UNKNOWN,
  invalid_argument: status.INVALID_ARGUMENT,
  deadline_exceeded: status.DEADLINE_EXCEEDED,
  not_found: status.NOT_FOUND,
  already_exists: status.ALREADY_EXISTS,
  permission_denied: status.PERMISSION_DENIED,
  resource_exhausted: status.RESOURCE_EXHAUSTED,
  failed_precondition: status.FAILED_PRECONDITION,
  aborted: status.ABORTED,
  out_of_range: status.OUT_OF_RANGE,
  unimplemented: status.UNIMPLEMENTED,
  internal: status.INTERNAL,
  unavailable: status.UNAVAILABLE,
  data_loss: status.DATA_LOSS,
  unauthenticated: status.UNAUTHENTICATED,
};

/** How a service tells what it did. */
export interface ServiceReport {
  /** The door's name in log lines. */
  readonly door: string;
  readonly log: Log;
  /** Methods, as in the definition, whose calls are logged at debug level: those that come all the time. */
  readonly quiet?: ReadonlySet<string>;
}

/** A service of a generated definition and its works. A Failure becomes its status; what else is thrown, INTERNAL. */
export function grpcService<Definition extends ServiceDefinition>(
  definition: Definition,
  works: Works<Definition>,
  report: ServiceReport,
): GrpcService {
  const implementation: UntypedServiceImplementation = {};
  for (const [name, { responseStream }] of Object.entries(definition)) {
    const work = works[name as keyof Definition] as unknown;
    implementation[name] = responseStream
      ? streaming(name, work as (request: unknown, call: Call) => AsyncIterable<unknown>, report)
      : unary(name, work as (request: unknown, call: Call) => Promise<unknown>, report);
  }
  return { definition, implementation };
}

function unary(
  name: string,
  work: (request: unknown, call: Call) => Promise<unknown>,
  report: ServiceReport,
): handleUnaryCall<unknown, unknown> {
  return (call, answer) => {
    const { signal, release } = signalOf(call);
    void traced(call.metadata, async () => {
      const end = timed(name, report);
      try {
        const response = await work(call.request, { signal, header: headerOf(call.metadata) });
        end(status.OK);
        answer(null, response);
      } catch (thrown) {
        const failure = Failure.from(thrown);
        end(GRPC_STATUS[failure.code], thrown);
        answer({ code: GRPC_STATUS[failure.code], details: failure.message });
      } finally {
        release();
      }
    });
  };
}

function streaming(
  name: string,
  work: (request: unknown, call: Call) => AsyncIterable<unknown>,
  report: ServiceReport,
): handleServerStreamingCall<unknown, unknown> {
  return (call) => {
    const { signal, release } = signalOf(call);
    void traced(call.metadata, async () => {
      const end = timed(name, report);
      try {
        for await (const item of work(call.request, { signal, header: headerOf(call.metadata) })) {
          if (signal.aborted) break;
          if (!call.write(item)) await drained(call, signal);
        }
        end(signal.aborted ? status.CANCELLED : status.OK);
        call.end();
      } catch (thrown) {
        const failure = Failure.from(thrown);
        end(GRPC_STATUS[failure.code], thrown);
        call.emit("error", { code: GRPC_STATUS[failure.code], details: failure.message });
      } finally {
        release();
      }
    });
  };
}

/** Resolves when more can be written, or nobody reads any more. */
function drained(call: NodeJS.EventEmitter, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      call.off("drain", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    call.once("drain", done);
    signal.addEventListener("abort", done, { once: true });
    if (signal.aborted) done();
  });
}

function signalOf(call: NodeJS.EventEmitter): { signal: AbortSignal; release: () => void } {
  const controller = new AbortController();
  const cancel = () => controller.abort(new Failure("cancelled", "The caller has gone away"));
  call.once("cancelled", cancel);
  return { signal: controller.signal, release: () => call.off("cancelled", cancel) };
}

function headerOf(metadata: Metadata): (name: string) => string | undefined {
  return (name) => metadata.get(name)[0]?.toString();
}

function traced(metadata: Metadata, work: () => Promise<void>): Promise<void> {
  const header = headerOf(metadata);
  const id = traceIdOf({
    traceparent: header("traceparent"),
    "x-request-id": header("x-request-id"),
  });
  return runTraced(id, work);
}

/** Begins to measure a call; what it gives writes the line of its end. */
function timed(method: string, { door, log, quiet }: ServiceReport) {
  const startedMs = performance.now();
  return (code: status, thrown?: unknown): void => {
    const durationMs = Math.round((performance.now() - startedMs) * 10) / 10;
    if (code === status.INTERNAL) log.error("request failed", { door, method, error: thrown });
    log[quiet?.has(method) ? "debug" : "info"]("request", {
      ...{ door, method, status: status[code], durationMs },
      ...(thrown instanceof Failure && { why: thrown.message }),
    });
  };
}
