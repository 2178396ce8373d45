import { type IncomingHttpHeaders, request } from "node:http";

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface HttpCall {
  readonly socketPath: string;
  readonly path: string;
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Uint8Array;
  /** Past this the call rejects. */
  readonly timeoutMs?: number;
}

/** One HTTP call over a unix socket, on a connection of its own. */
export function call(options: HttpCall): Promise<HttpAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>();
  const sent = request(
    {
      socketPath: options.socketPath,
      path: options.path,
      method: options.method ?? "GET",
      headers: { host: "", ...options.headers },
      agent: false,
      signal: AbortSignal.timeout(options.timeoutMs ?? 30_000),
    },
    (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks).toString(),
        }),
      );
    },
  );
  sent.on("error", reject);
  sent.end(options.body);
  return promise;
}

/** An answer of a volume plugin. */
export interface PluginAnswer {
  readonly status: number;
  /** The parsed body; undefined when it is not JSON. */
  readonly json: Readonly<Record<string, unknown>> | undefined;
  readonly text: string;
}

/** A call as Docker makes it: POST, no Content-Type. `body` as text goes out as it is, anything else as JSON. */
export async function callPlugin(
  socketPath: string,
  endpoint: string,
  body: string | object,
): Promise<PluginAnswer> {
  const { status, body: text } = await call({
    socketPath,
    path: endpoint,
    method: "POST",
    headers: { accept: "application/vnd.docker.plugins.v1.2+json" },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  try {
    return { status, json: JSON.parse(text) as Record<string, unknown>, text };
  } catch {
    return { status, json: undefined, text };
  }
}
