import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { Failure, type FailureCode } from "../../src/core/failure.ts";

/** Largest answer that is taken, in bytes: a listing of many volumes passes gRPC's own 4 MiB. */
const MESSAGE_LIMIT_BYTES = 64 * 1024 ** 2;
/** How long a call may take unless it says otherwise, in milliseconds. */
const TIMEOUT_MS = 60_000;

/** What a call can be told beside its request. */
export interface CallOptions {
  /** Past this the caller hears `deadline_exceeded`; the driver may work on. */
  readonly timeoutMs?: number;
  /** Aborted, the caller hears `cancelled`; the driver may work on. */
  readonly signal?: AbortSignal;
}

/** A unary method of a generated service definition. */
interface Method<Request, Response> {
  readonly path: string;
  readonly requestSerialize: (request: Request) => Buffer;
  readonly requestDeserialize: (bytes: Buffer) => Request;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

/** One function for each method: fields that are left out are empty, as on the wire. */
export type Calls<Definition> = {
  readonly [Name in keyof Definition]: Definition[Name] extends Method<
    infer Request,
    infer Response
  >
    ? (request?: Partial<Request>, options?: CallOptions) => Promise<Response>
    : never;
};

/** A connection to a driver's socket, which is opened with the first call and again whenever it broke. */
export class Connection {
  readonly #client: Client;

  /** @param socketPath Path of its unix socket. */
  constructor(socketPath: string) {
    this.#client = new Client(`unix:${socketPath}`, credentials.createInsecure(), {
      // Servers that hold to the letter of HTTP/2 refuse a socket's path as authority.
      "grpc.default_authority": "localhost",
      "grpc.max_receive_message_length": MESSAGE_LIMIT_BYTES,
      "grpc.max_send_message_length": MESSAGE_LIMIT_BYTES,
      // A driver that was restarted is found again at once.
      "grpc.initial_reconnect_backoff_ms": 50,
      "grpc.max_reconnect_backoff_ms": 500,
      // Connections are not shared: to close one closes none of another.
      "grpc.use_local_subchannel_pool": 1,
    });
  }

  /** The functions of a service. Each rejects with a `Failure` of the status' code and message. */
  calls<Definition extends Readonly<Record<string, object>>>(
    definition: Definition,
  ): Calls<Definition> {
    const methods = Object.entries(definition).map(([name, method]) => {
      const unary = method as Method<unknown, unknown>;
      return [
        name,
        (request: object = {}, options: CallOptions = {}) => this.#call(unary, request, options),
      ];
    });
    return Object.fromEntries(methods) as Calls<Definition>;
  }

  #call(method: Method<unknown, unknown>, given: object, options: CallOptions): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const empty = method.requestDeserialize(Buffer.alloc(0)) as object;
    const call = this.#client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      { ...empty, ...given },
      new Metadata(),
      { deadline: Date.now() + (options.timeoutMs ?? TIMEOUT_MS) },
      (error, response) => (error === null ? resolve(response) : reject(failureOf(error))),
    );
    const cancel = () => call.cancel();
    options.signal?.addEventListener("abort", cancel, { once: true });
    return promise.finally(() => options.signal?.removeEventListener("abort", cancel));
  }

  close(): void {
    this.#client.close();
  }
}

function failureOf({ code, details }: ServiceError): Failure {
  return new Failure(CODES[code], details);
}

const CODES: Readonly<Record<status, FailureCode>> = {
  [status.OK]: "internal",
  [status.CANCELLED]: "cancelled",
  [status.UNKNOWN]: "unknown",
  [status.INVALID_ARGUMENT]: "invalid_argument",
  [status.DEADLINE_EXCEEDED]: "deadline_exceeded",
  [status.NOT_FOUND]: "not_found",
  [status.ALREADY_EXISTS]: "already_exists",
  [status.PERMISSION_DENIED]: "permission_denied",
  [status.RESOURCE_EXHAUSTED]: "resource_exhausted",
  [status.FAILED_PRECONDITION]: "failed_precondition",
  [status.ABORTED]: "aborted",
  [status.OUT_OF_RANGE]: "out_of_range",
  [status.UNIMPLEMENTED]: "unimplemented",
  [status.INTERNAL]: "internal",
  [status.UNAVAILABLE]: "unavailable",
  [status.DATA_LOSS]: "data_loss",
  [status.UNAUTHENTICATED]: "unauthenticated",
};
