import { mkdir, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { Background } from "./background.ts";
import { eventually, mustRun } from "./command.ts";

/** A login that {@link Registry} takes when it is told to. */
export const LOGIN = { username: "kay", password: "sesame" } as const;
/** bcrypt of the password. */
const HASH = "$2b$04$Z16f5AApgrI2VSdZQDnhvuV7swovdeHAAfhjRrLucjuXyNsr15vMW";

/** Debian's docker-registry, on a port of its own. */
export class Registry {
  readonly host: string;
  readonly #process: Background;

  private constructor(port: number, process: Background) {
    this.host = `127.0.0.1:${port}`;
    this.#process = process;
  }

  static async start(
    directory: string,
    options: { readonly login?: true } = {},
  ): Promise<Registry> {
    await mkdir(directory, { recursive: true });
    const port = await freePort();
    const auth = `auth:\n  htpasswd:\n    realm: test\n    path: ${directory}/htpasswd\n`;
    const config = `version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: ${directory}/data\nhttp:\n  addr: 127.0.0.1:${port}\n${options.login ? auth : ""}`;
    await writeFile(join(directory, "config.yml"), config);
    await writeFile(join(directory, "htpasswd"), `${LOGIN.username}:${HASH}\n`);
    const argv = ["docker-registry", "serve", join(directory, "config.yml")];
    const env = { PATH: process.env["PATH"] ?? "", OTEL_TRACES_EXPORTER: "none" };
    const registry = new Registry(
      port,
      new Background(argv, { env, logFile: join(directory, "log") }),
    );
    await eventually("the registry answers", () =>
      fetch(`http://127.0.0.1:${port}/v2/`).then(
        (answer) => (answer.status < 500 ? true : undefined),
        () => undefined,
      ),
    );
    return registry;
  }

  /** Puts an image of an OCI layout's directory there, by skopeo. */
  async push(layout: string, name: string, login = false): Promise<void> {
    const credentials = login ? [`--dest-creds=${LOGIN.username}:${LOGIN.password}`] : [];
    await mustRun([
      ...["skopeo", "copy", "--insecure-policy", "--dest-tls-verify=false", ...credentials],
      ...["--preserve-digests", `oci:${layout}`, `docker://${this.host}/${name}`],
    ]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.end("SIGTERM");
  }
}

/** What a {@link Nuisance} does with a request before it is passed on; true: it has answered. */
export type Trouble = (asked: IncomingMessage, answer: ServerResponse) => boolean;

/** Stands before a registry and makes trouble. */
export class Nuisance {
  readonly host: string;
  readonly #server: ReturnType<typeof createServer>;
  /** Paths with their `Range`, in the order in which they were asked for. */
  readonly asked: string[] = [];
  /** Cuts the connection of a blob after so many bytes. */
  cutAfterBytes = Number.POSITIVE_INFINITY;
  /** Passes no ranges on. */
  deaf = false;

  private constructor(server: ReturnType<typeof createServer>) {
    this.#server = server;
    this.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(target: string, trouble: Trouble = () => false): Promise<Nuisance> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const nuisance = new Nuisance(server);
    server.on("request", (asked, answer) => {
      nuisance.asked.push(`${asked.url} ${asked.headers.range ?? ""}`.trim());
      if (!trouble(asked, answer)) nuisance.#pass(target, asked, answer);
    });
    return nuisance;
  }

  #pass(target: string, asked: IncomingMessage, answer: ServerResponse): void {
    const { range, ...others } = asked.headers;
    const headers = {
      ...others,
      ...(range !== undefined && !this.deaf && { range }),
      host: target,
    };
    const sent = request(`http://${target}${asked.url}`, { method: asked.method, headers });
    sent.on("error", () => answer.destroy());
    sent.on("response", (got) => {
      answer.writeHead(got.statusCode ?? 500, got.headers);
      let left = asked.url?.includes("/blobs/") ? this.cutAfterBytes : Number.POSITIVE_INFINITY;
      got.on("data", (piece: Buffer) => {
        answer.write(piece.subarray(0, Math.min(left, piece.length)));
        left -= piece.length;
        if (left <= 0) {
          got.destroy();
          // What was written is to arrive first.
          answer.socket?.end();
        }
      });
      got.on("end", () => answer.end());
    });
    sent.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
