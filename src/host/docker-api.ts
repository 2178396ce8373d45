import type { IncomingMessage } from "node:http";
import { Failure } from "../core/failure.ts";

/** Not imported: an import reads every name of node:http, and so loads undici for WebSocket: 40 ms and 16 MB. */
const { request } = process.getBuiltinModule("node:http");

/** Largest answer that is read, in bytes: some ten thousand containers. */
const ANSWER_LIMIT_BYTES = 64 * 1024 ** 2;

/** One call of Docker's API. */
export interface ApiCall {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body?: object;
  readonly timeoutMs: number;
}

/** What came back. */
export interface ApiAnswer {
  readonly status: number;
  readonly text: string;
}

/** Docker's API on a unix socket: calls, and what their failures mean. */
export class DockerApi {
  readonly address: string;
  readonly #socketPath: string;

  /** @param address `unix:///PATH`. */
  constructor(address: string) {
    this.address = address;
    this.#socketPath = address.slice("unix://".length);
  }

  /** One call, answered whatever its status. @throws {Failure} `unavailable` when no answer comes in time. */
  async call(call: ApiCall, signal: AbortSignal): Promise<ApiAnswer> {
    return this.stream(call, signal, async (answer) => {
      const chunks: Buffer[] = [];
      let length = 0;
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        length += chunk.length;
        if (length > ANSWER_LIMIT_BYTES) throw new Error("the answer is too long");
        chunks.push(chunk);
      }
      return { status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString() };
    });
  }

  /**
   * One call whose answer `read` reads as it comes; the connection ends with it.
   *
   * @throws {Failure} `unavailable`; a Failure of `read` as it is.
   */
  async stream<T>(
    call: ApiCall,
    signal: AbortSignal,
    read: (answer: IncomingMessage) => Promise<T>,
  ): Promise<T> {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(call.timeoutMs)]);
    try {
      const answer = await this.#send(call, limited);
      try {
        return await read(answer);
      } finally {
        answer.destroy();
      }
    } catch (cause) {
      signal.throwIfAborted();
      if (cause instanceof Failure) throw cause;
      throw this.noAnswer(cause);
    }
  }

  /** What an answer that was not one is told as. */
  noAnswer(cause: unknown): Failure {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : undefined;
    return new Failure(
      "unavailable",
      `Cannot ask the engine at ${this.address}: ${code ?? "no useful answer"}`,
      { cause, ...(code === "ENOENT" && { detail: { absent: true } }) },
    );
  }

  /** What an answer of another status than hoped for means. */
  refusal(what: string, { status, text }: ApiAnswer): Failure {
    const why = messageOf(text);
    if (status === 404) return new Failure("not_found", `Cannot ${what}: ${why}`);
    return new Failure("failed_precondition", `Cannot ${what}: the engine says: ${why}`);
  }

  #send({ method, path, body }: ApiCall, signal: AbortSignal): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const text = body === undefined ? "" : JSON.stringify(body);
    const headers =
      body === undefined
        ? { "content-length": 0 }
        : { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
    const sent = request(
      { socketPath: this.#socketPath, method, path, headers, signal, agent: false },
      resolve,
    );
    sent.on("error", reject);
    sent.end(text);
    return promise;
  }
}

/** The engine's own words. */
function messageOf(text: string): string {
  try {
    const { message }: { message?: unknown } = JSON.parse(text);
    if (typeof message === "string") return message.slice(0, 500);
  } catch {
    // Not JSON: shown as it is.
  }
  return text.trim().slice(0, 500);
}
