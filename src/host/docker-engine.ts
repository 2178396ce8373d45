import Docker from "dockerode";
import { Failure } from "../core/failure.ts";
import {
  ENGINE_TIMEOUT_MS,
  type Engine,
  type EngineContainer,
  type EngineVolume,
} from "../core/ports/engine.ts";

/** An engine that speaks Docker's API on a unix socket: Docker itself, or Podman's service. */
export class DockerEngine implements Engine {
  readonly address: string;
  readonly #docker: Docker;

  /** @param address `unix:///PATH`. */
  constructor(address: string) {
    this.address = address;
    this.#docker = new Docker({
      socketPath: address.slice("unix://".length),
      timeout: ENGINE_TIMEOUT_MS,
    });
  }

  async listContainers(
    volumeName: string,
    signal: AbortSignal,
  ): Promise<readonly EngineContainer[]> {
    const listed = await this.#ask(signal, (abortSignal) =>
      this.#docker.listContainers({
        all: true,
        filters: { volume: [volumeName] },
        abortSignal,
      }),
    );
    return listed.map(({ Id, Names, State }) => ({
      id: Id,
      name: (Names[0] ?? Id).replace(/^\//, ""),
      running: State === "running" || State === "paused" || State === "restarting",
    }));
  }

  async listVolumes(signal: AbortSignal): Promise<readonly EngineVolume[]> {
    const { Volumes } = await this.#ask(signal, (abortSignal) =>
      this.#docker.listVolumes({ abortSignal }),
    );
    return (Volumes ?? []).map(({ Name, Driver }) => ({ name: Name, driver: Driver }));
  }

  async #ask<T>(signal: AbortSignal, question: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(ENGINE_TIMEOUT_MS)]);
    try {
      return await question(limited);
    } catch (cause) {
      signal.throwIfAborted();
      const why =
        cause instanceof Error && "code" in cause ? String(cause.code) : "no useful answer";
      throw new Failure("unavailable", `Cannot ask the engine at ${this.address}: ${why}`, {
        cause,
      });
    }
  }
}
