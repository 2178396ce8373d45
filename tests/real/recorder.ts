import { existsSync, unlinkSync } from "node:fs";
import {
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from "node:http";
import { eventually } from "./command.ts";

/** One call of an engine to the plugin. */
export interface RecordedCall {
  /** Short name: `Get`, `Mount`, `Activate`… */
  readonly endpoint: string;
  /** Body as it came; retried calls have none. */
  readonly requestText: string;
  readonly request: Readonly<Record<string, unknown>>;
  /** 0 when the connection ended without an answer. */
  readonly status: number;
  readonly responseText: string;
  readonly response: Readonly<Record<string, unknown>>;
}

/** What happens to a call instead of simply going on to the plugin. */
export type Trick =
  /** The connection ends; the plugin never hears of it. */
  | { readonly do: "drop" }
  /** The plugin does it, but the answer is lost. */
  | { readonly do: "lose-answer" }
  /** The plugin gets it once the promise resolves. */
  | { readonly do: "hold"; readonly until: Promise<unknown> }
  /** The plugin never hears of it; this is the answer. */
  | { readonly do: "answer"; readonly status: number; readonly body: string };

/** Letters in {@link Recorder.sequence}, those of the table of call sequences. */
const LETTERS: Readonly<Record<string, string>> = {
  Activate: "A",
  Capabilities: "K",
  Create: "C",
  Get: "G",
  List: "L",
  Mount: "M",
  Unmount: "U",
  Remove: "R",
  Path: "P",
};

/**
 * Stands between an engine and the plugin's socket: writes down every call in the order in which it came, and does
 * tricks with some.
 */
export class Recorder implements AsyncDisposable {
  readonly #listenPath: string;
  readonly #targetPath: string;
  readonly #calls: RecordedCall[] = [];
  readonly #tricks: { readonly endpoint: string; readonly trick: Trick; readonly once: boolean }[] =
    [];
  #server: Server | undefined;
  #underWay = 0;

  /** @param options `listenPath`: where the engine looks; `targetPath`: the real socket. Both as this process reaches them. */
  constructor(options: { readonly listenPath: string; readonly targetPath: string }) {
    this.#listenPath = options.listenPath;
    this.#targetPath = options.targetPath;
  }

  /** Opens the socket. */
  async appear(): Promise<void> {
    if (existsSync(this.#listenPath)) unlinkSync(this.#listenPath);
    const server = createServer((incoming, answer) => void this.#serve(incoming, answer));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.on("error", reject);
    server.listen(this.#listenPath, resolve);
    await promise;
    this.#server = server;
  }

  /** Closes the socket and removes its file: the plugin is absent for the engine. */
  async vanish(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    server.close(() => resolve());
    server.closeAllConnections();
    await promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.vanish();
  }

  /** The next call of `endpoint` gets this instead. */
  once(endpoint: string, trick: Trick): void {
    this.#tricks.push({ endpoint, trick, once: true });
  }

  /** Every call of `endpoint` gets this from now on, until {@link behave}. */
  always(endpoint: string, trick: Trick): void {
    this.#tricks.push({ endpoint, trick, once: false });
  }

  /** No more tricks. */
  behave(): void {
    this.#tricks.length = 0;
  }

  /** Everything since the last {@link take}. */
  get calls(): readonly RecordedCall[] {
    return this.#calls;
  }

  /** Everything since the last take, and forgets it. */
  take(): readonly RecordedCall[] {
    return this.#calls.splice(0);
  }

  /** The calls since the last {@link take} as letters, such as `G C`. */
  get sequence(): string {
    return this.#calls.map(({ endpoint }) => LETTERS[endpoint] ?? endpoint).join(" ");
  }

  /**
   * Runs `action` and resolves to what it did and the calls that it made: those up to its end, and those that an engine
   * makes a little later in the background, until there are `count`.
   */
  async during(
    action: () => Promise<unknown>,
    expected: string,
  ): Promise<{ readonly sequence: string; readonly calls: readonly RecordedCall[] }> {
    this.take();
    await action();
    const count = expected === "" ? 0 : expected.split(" ").length;
    await eventually(`${count} calls`, () => this.#underWay === 0 && this.#calls.length >= count, {
      timeoutMs: 5_000,
    }).catch(() => undefined);
    const { sequence } = this;
    return { sequence, calls: this.take() };
  }

  async #serve(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
    this.#underWay++;
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const endpoint = (incoming.url ?? "").replace(/^.*\./, "");
    const slot = this.#calls.push(recorded(endpoint, body, 0, "")) - 1;
    const entry = this.#calls[slot];
    try {
      const trick = this.#trickFor(endpoint);
      if (trick?.do === "hold") await trick.until;
      if (trick?.do === "drop") throw new Error("dropped");
      const { status, text } =
        trick?.do === "answer"
          ? { status: trick.status, text: trick.body }
          : await this.#forward(incoming, body);
      this.#replace(entry, recorded(endpoint, body, status, text));
      if (trick?.do === "lose-answer") throw new Error("lost");
      this.#underWay--;
      answer.writeHead(status, { "content-type": "application/vnd.docker.plugins.v1.1+json" });
      answer.end(text);
    } catch {
      this.#underWay--;
      incoming.socket.destroy();
    }
  }

  #replace(old: RecordedCall | undefined, entry: RecordedCall): void {
    const at = old === undefined ? -1 : this.#calls.indexOf(old);
    if (at >= 0) this.#calls[at] = entry;
  }

  #trickFor(endpoint: string): Trick | undefined {
    const at = this.#tricks.findIndex((entry) => entry.endpoint === endpoint);
    const entry = this.#tricks[at];
    if (entry?.once) this.#tricks.splice(at, 1);
    return entry?.trick;
  }

  #forward(
    incoming: IncomingMessage,
    body: Buffer,
  ): Promise<{ readonly status: number; readonly text: string }> {
    const { promise, resolve, reject } = Promise.withResolvers<{
      readonly status: number;
      readonly text: string;
    }>();
    const headers = { ...incoming.headers, "content-length": String(body.length) };
    delete headers["transfer-encoding"];
    delete headers.connection;
    const sent = request(
      {
        socketPath: this.#targetPath,
        path: incoming.url ?? "/",
        method: incoming.method ?? "POST",
        headers,
        agent: false,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
        );
      },
    );
    sent.on("error", reject);
    sent.end(body);
    return promise;
  }
}

function recorded(
  endpoint: string,
  body: Buffer,
  status: number,
  responseText: string,
): RecordedCall {
  const requestText = body.toString();
  return {
    endpoint,
    requestText,
    request: parsed(requestText),
    status,
    responseText,
    response: parsed(responseText),
  };
}

function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}
