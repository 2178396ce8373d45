import { once } from "node:events";
import { connect, type Socket } from "node:net";

/**
 * One kept connection to a plugin socket, as an engine keeps it, with one call at a time. It does as little as can
 * be done, so that what is measured is the daemon.
 */
export class PluginClient {
  readonly #socket: Socket;
  #received = "";
  #settle: ((failure: Error | undefined) => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => this.#take(text));
    socket.on("error", (error) => this.#settle?.(error));
    socket.on("close", () => this.#settle?.(new Error("The plugin closed the connection")));
  }

  static async open(socketPath: string): Promise<PluginClient> {
    const socket = connect(socketPath);
    await once(socket, "connect");
    return new PluginClient(socket);
  }

  /** The parsed answer of `/VolumeDriver.ENDPOINT`. Rejects when it is not status 200. */
  async call(endpoint: string, body: object): Promise<Readonly<Record<string, unknown>>> {
    const text = JSON.stringify(body);
    this.#received = "";
    const answered = new Promise<void>((resolve, reject) => {
      this.#settle = (failure) => (failure === undefined ? resolve() : reject(failure));
    });
    this.#socket.write(
      `POST /VolumeDriver.${endpoint} HTTP/1.1\r\nHost: plugin\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
    );
    await answered;
    const answer = this.#received.slice(this.#received.indexOf("\r\n\r\n") + 4);
    if (!this.#received.startsWith("HTTP/1.1 200"))
      throw new Error(`${endpoint} ${text}: ${answer}`);
    return JSON.parse(answer);
  }

  close(): void {
    this.#settle = undefined;
    this.#socket.destroy();
  }

  #take(text: string): void {
    this.#received += text;
    const end = this.#received.indexOf("\r\n\r\n");
    if (end === -1) return;
    const length = /content-length: (\d+)/i.exec(this.#received)?.[1];
    const body = this.#received.slice(end + 4);
    if (length !== undefined && Buffer.byteLength(body) >= Number(length))
      this.#settle?.(undefined);
  }
}
