import type { Agent, IncomingMessage } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Failure, type FailureCode } from "../../core/failure.ts";

/** Not imported: an import reads every name of node:http, and so loads undici for WebSocket: 40 ms and 16 MB. */
const http = process.getBuiltinModule("node:http");

/** How long an answer is waited for, in milliseconds: a little longer than the daemon works on one. */
export const CLIENT_TIMEOUT_MS = 130_000;

/** Values of a query; a list is given as the same key again and again. */
export type Query = Readonly<Record<string, string | readonly string[] | undefined>>;

/** What goes with a request. */
export interface Sending {
  readonly query?: Query;
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The client's end of the connection to the daemon. */
export class Wire {
  readonly #host: string;
  readonly #socketPath: string;
  readonly #agent: Agent = new http.Agent({ keepAlive: true, maxSockets: 4 });

  constructor(host: string, socketPath: string) {
    this.#host = host;
    this.#socketPath = socketPath;
  }

  /**
   * Sends a request, and gives the answer's head.
   *
   * @param timeoutMs Longest silence; 0: any.
   */
  send(
    method: string,
    path: string,
    { query, body, headers }: Sending,
    timeoutMs: number,
  ): Promise<IncomingMessage> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const sent = http.request(
        {
          ...{ method, path: path + formatQuery(query), timeout: timeoutMs },
          ...{ socketPath: this.#socketPath, agent: this.#agent },
          headers: {
            ...{ host: "lagan", ...headers },
            ...(text !== undefined && {
              "content-type": "application/json",
              "content-length": Buffer.byteLength(text),
            }),
          },
        },
        resolve,
      );
      sent.once("timeout", () => sent.destroy(new Error("it does not answer in time")));
      sent.once("error", (cause) => reject(this.unreachable(cause)));
      sent.end(text);
    });
  }

  /** For a connection that broke. */
  unreachable(cause: unknown): Failure {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
    const why = WHY_UNREACHABLE[code] ?? (cause instanceof Error ? cause.message : String(cause));
    return new Failure("unavailable", `Cannot reach the daemon at ${this.#host}: ${why}`, {
      cause,
    });
  }

  /** The parts of a long answer between `end`s, as they come. @throws {Failure} what the daemon says. */
  async *blocks(path: string, sending: Sending, end: string): AsyncGenerator<string> {
    const answer = await this.send("GET", path, sending, 0);
    await ensureOk(answer);
    let text = "";
    answer.setEncoding("utf8");
    try {
      for await (const chunk of answer) {
        text += String(chunk);
        const blocks = text.split(end);
        text = blocks.pop() ?? "";
        yield* blocks;
      }
    } catch (cause) {
      throw this.unreachable(cause);
    } finally {
      answer.destroy();
    }
  }

  /** Sends a long body, and gives the text of the answer. An answer that comes before the end ends the sending. */
  upload(path: string, { query }: Sending, body: AsyncIterable<Uint8Array>): Promise<string> {
    return new Promise((resolve, reject) => {
      const sent = http.request(
        {
          ...{ method: "POST", path: path + formatQuery(query), socketPath: this.#socketPath },
          headers: { host: "lagan", "content-type": "application/x-tar" },
        },
        (answer) => {
          ensureOk(answer)
            .then(() => readText(answer))
            .then(resolve, reject)
            .finally(() => sent.destroy());
        },
      );
      sent.on("error", (cause) => reject(this.unreachable(cause)));
      pipeline(Readable.from(body), sent).catch((cause: unknown) => {
        // What was answered meanwhile tells more, and is heard first.
        reject(cause instanceof Failure ? cause : this.unreachable(cause));
      });
    });
  }
}

/** For an answer that ended too early: the daemon has told why in its log alone. */
export function cutOff(verb: string, what: string, cause?: unknown): Failure {
  return new Failure(
    "unavailable",
    `Cannot ${verb} ${what}: the daemon broke off; its log says why: journalctl -u lagand`,
    { cause },
  );
}

const START = "see: systemctl status lagand; or start one: lagan daemon";
const WHY_UNREACHABLE: Readonly<Record<string, string>> = {
  ENOENT: `there is no socket: it is not running, or runs with another --run-dir; ${START}`,
  ECONNREFUSED: `nobody listens: it has ended; ${START}`,
  EACCES: "you may not use its socket; be root or a member of group lagan",
  ECONNRESET: `it ended while it worked on this; what became of it is not known; ${START}`,
};

function formatQuery(query: Query | undefined): string {
  const pairs = Object.entries(query ?? {}).flatMap(([key, value]) =>
    [value ?? []].flat().map((one) => [key, one]),
  );
  return pairs.length === 0 ? "" : `?${new URLSearchParams(pairs)}`;
}

/** @throws {Failure} what the daemon says. */
export async function ensureOk(answer: IncomingMessage): Promise<void> {
  const status = answer.statusCode ?? 0;
  if (status >= 200 && status < 300) return;
  throw parseProblem(await readText(answer), status);
}

function parseProblem(text: string, status: number): Failure {
  try {
    const { type, title, status: _, code, detail, traceId, ...facts } = JSON.parse(text);
    if (typeof code === "string" && typeof detail === "string") {
      return new Failure(code as FailureCode, detail, {
        detail: facts,
        cause: { type, title, traceId },
      });
    }
  } catch {
    // Not a problem document: told below.
  }
  return new Failure(
    "unavailable",
    `Cannot understand the answer (HTTP ${status}): is it lagand that listens there?`,
  );
}

/** All of an answer. */
export async function readText(answer: IncomingMessage): Promise<string> {
  answer.setEncoding("utf8");
  let text = "";
  for await (const chunk of answer) text += String(chunk);
  return text;
}
