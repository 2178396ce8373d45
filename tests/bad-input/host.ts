import { lstatSync, readdirSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { expect } from "vitest";
import { Background } from "../real/background.ts";
import { eventually } from "../real/command.ts";
import { Machine } from "../real/machine.ts";
import { call, callPlugin, type HttpAnswer } from "../real/unix-http.ts";
import { GUARDED, HELD, type HttpCase, KEPT, TRASHED } from "./cases.ts";

/** Everything that bad input must leave as it is. */
export interface Seen {
  readonly pid: number;
  readonly volumes: unknown;
  readonly trash: unknown;
  readonly operations: unknown;
  /** Every file of the state directory but the store's own, with kind, bits, owner, size and inode. */
  readonly files: readonly string[];
}

/** A machine whose lagand has the volumes that the cases speak of. */
export class BadInputHost implements AsyncDisposable {
  readonly machine: Machine;
  #holder: Background | undefined;

  private constructor(machine: Machine) {
    this.machine = machine;
  }

  static async start(): Promise<BadInputHost> {
    const host = new BadInputHost(await Machine.create());
    try {
      await host.machine.lagand.start();
      await host.#fill();
    } catch (thrown) {
      await host[Symbol.asyncDispose]();
      throw thrown;
    }
    return host;
  }

  async #fill(): Promise<void> {
    const { lagand } = this.machine;
    for (const name of [KEPT, HELD, GUARDED, TRASHED]) {
      const { status, text } = await this.plugin("Create", { Name: name });
      expect({ name, status, text }).toMatchObject({ status: 200 });
    }
    await this.rest({ method: "PATCH", path: `/v1/volumes/${GUARDED}`, body: { protect: true } });
    await this.rest({ method: "DELETE", path: `/v1/volumes/${TRASHED}` });
    const { json } = await this.plugin("Path", { Name: HELD });
    this.#holder = new Background(
      this.machine.namespace.enter([
        ...["unshare", "-m", "sh", "-c"],
        'mount --bind "$1" /mnt && echo held && exec sleep 3600',
        ...["holder", String(json?.["Mountpoint"])],
      ]),
      { env: this.machine.namespace.env, logFile: this.machine.path("holder.log") },
    );
    await eventually("it is held", () => this.#holder?.log().includes("held"));
    expect(lagand.running).toBe(true);
  }

  /** A call of the plugin protocol that is meant well. */
  plugin(endpoint: string, body: object): ReturnType<typeof callPlugin> {
    return callPlugin(this.machine.lagand.pluginSocketPath, `/VolumeDriver.${endpoint}`, body);
  }

  async rest(request: {
    readonly method: string;
    readonly path: string;
    readonly body?: object;
  }): Promise<void> {
    const { body, ...rest } = request;
    const json = body === undefined ? {} : { body: JSON.stringify(body) };
    const headers = { "content-type": "application/json" };
    const { socketPath } = this.machine.lagand;
    const answer = await call({ socketPath, ...rest, ...(body && { headers }), ...json });
    expect({ ...request, status: answer.status, text: answer.body }).toMatchObject({ status: 200 });
  }

  async see(): Promise<Seen> {
    const { lagand } = this.machine;
    expect(lagand.running, lagand.logTail()).toBe(true);
    const [volumes, trash, operations] = await Promise.all(
      ["volumes", "trash", "operations"].map((what) => lagand.get(`/v1/${what}?page_size=500`)),
    );
    return { pid: lagand.pid, volumes, trash, operations, files: this.#files() };
  }

  #files(): readonly string[] {
    const state = this.machine.path("state");
    return readdirSync(state, { recursive: true, encoding: "utf8" })
      .filter((path) => !path.startsWith("store.db"))
      .sort()
      .map((path) => {
        const { mode, uid, gid, size, ino } = lstatSync(join(state, path));
        return `${path} ${mode.toString(8)} ${uid}:${gid} ${size} ${ino}`;
      });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#holder?.end("SIGKILL");
    await this.machine[Symbol.asyncDispose]();
  }
}

/** Sends a case as it is. Undefined: the connection was cut off, which the case must allow. */
export async function send(socketPath: string, bad: HttpCase): Promise<HttpAnswer | undefined> {
  const { body, path, method, headers } = bad;
  const raw = body instanceof Uint8Array || typeof body === "string" ? body : JSON.stringify(body);
  const length = { "content-length": String(Buffer.byteLength(raw ?? "")) };
  try {
    return await call({
      ...{ socketPath, path, method: method ?? "GET" },
      ...(raw === undefined
        ? { headers: { ...headers } }
        : { body: raw, headers: { ...headers, ...length } }),
    });
  } catch (thrown) {
    expect(String(thrown)).toMatch(/EPIPE|ECONNRESET/);
    expect(bad.mayCutOff, String(thrown)).toBe(true);
    return undefined;
  }
}

/** Writes bytes to a socket; resolves to what came back until the other side closed. */
export function exchange(socketPath: string, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    let text = "";
    socket.setTimeout(20_000, () => socket.destroy(new Error(`no end; so far: ${text}`)));
    socket.on("data", (chunk) => {
      text += String(chunk);
    });
    socket.once("close", () => resolve(text));
    // Whoever writes on after the refusal is told so.
    socket.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE" && error.code !== "ECONNRESET") reject(error);
    });
    socket.write(bytes, "latin1");
  });
}
