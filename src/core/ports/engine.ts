/** A container as an engine tells it. */
export interface EngineContainer {
  readonly id: string;
  readonly name: string;
  readonly running: boolean;
}

/** A volume as an engine lists it. */
export interface EngineVolume {
  readonly name: string;
  /** `local`, `lagan`, … */
  readonly driver: string;
}

/**
 * A container engine on this machine, asked over its own API. Never asked while it waits for an answer of
 * ours (it may hold locks), so never from the Docker volume API's requests.
 * Every call ends within {@link ENGINE_TIMEOUT_MS}: `unavailable` when the engine does not answer.
 */
export interface Engine {
  /** Address for messages, such as `unix:///var/run/docker.sock`. */
  readonly address: string;
  /** Containers, running or not, that have a volume of this name. */
  listContainers(volumeName: string, signal: AbortSignal): Promise<readonly EngineContainer[]>;
  /** Every volume that the engine lists. */
  listVolumes(signal: AbortSignal): Promise<readonly EngineVolume[]>;
}

/** How long one question to an engine may take, in milliseconds. */
export const ENGINE_TIMEOUT_MS = 5_000;
