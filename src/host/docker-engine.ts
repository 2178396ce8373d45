import { request } from "node:http";
import { z } from "zod";
import { Failure } from "../core/failure.ts";
import {
  ENGINE_TIMEOUT_MS,
  type Engine,
  type EngineContainer,
  type EngineVolume,
} from "../core/ports/engine.ts";

/** Largest answer that is read, in bytes: some ten thousand containers. */
const ANSWER_LIMIT_BYTES = 64 * 1024 ** 2;

// Of Docker's API (docs.docker.com/reference/api/engine), what is read here; every version since 1.21 has it.
const CONTAINERS = z.array(
  z.object({ Id: z.string(), Names: z.array(z.string()).nullish(), State: z.string() }),
);
const VOLUMES = z.object({
  Volumes: z.array(z.object({ Name: z.string(), Driver: z.string() })).nullish(),
});

/** States in which a container has processes. */
const RUNNING: ReadonlySet<string> = new Set(["running", "paused", "restarting"]);

/** An engine that speaks Docker's API on a unix socket: Docker itself, or Podman's service. */
export class DockerEngine implements Engine {
  readonly address: string;
  readonly #socketPath: string;

  /** @param address `unix:///PATH`. */
  constructor(address: string) {
    this.address = address;
    this.#socketPath = address.slice("unix://".length);
  }

  async listContainers(
    volumeName: string,
    signal: AbortSignal,
  ): Promise<readonly EngineContainer[]> {
    const filters = encodeURIComponent(JSON.stringify({ volume: [volumeName] }));
    const listed = await this.#ask(`/containers/json?all=1&filters=${filters}`, CONTAINERS, signal);
    return listed.map(({ Id, Names, State }) => ({
      id: Id,
      name: (Names?.[0] ?? Id).replace(/^\//, ""),
      running: RUNNING.has(State),
    }));
  }

  async listVolumes(signal: AbortSignal): Promise<readonly EngineVolume[]> {
    const { Volumes } = await this.#ask("/volumes", VOLUMES, signal);
    return (Volumes ?? []).map(({ Name, Driver }) => ({ name: Name, driver: Driver }));
  }

  async #ask<T>(path: string, schema: z.ZodType<T>, signal: AbortSignal): Promise<T> {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(ENGINE_TIMEOUT_MS)]);
    try {
      return schema.parse(JSON.parse(await this.#get(path, limited)));
    } catch (cause) {
      signal.throwIfAborted();
      const why =
        cause instanceof Error && "code" in cause ? String(cause.code) : "no useful answer";
      throw new Failure("unavailable", `Cannot ask the engine at ${this.address}: ${why}`, {
        cause,
      });
    }
  }

  #get(path: string, signal: AbortSignal): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const sent = request({ socketPath: this.#socketPath, path, signal, agent: false }, (answer) => {
      const chunks: Buffer[] = [];
      let length = 0;
      answer.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        length += chunk.length;
        if (length > ANSWER_LIMIT_BYTES) sent.destroy(new Error("the answer is too long"));
      });
      answer.on("error", reject);
      answer.on("end", () => {
        const text = Buffer.concat(chunks).toString();
        if (answer.statusCode === 200) resolve(text);
        else reject(new Error(`status ${answer.statusCode}: ${text.slice(0, 200)}`));
      });
    });
    sent.on("error", reject);
    sent.end();
    return promise;
  }
}
