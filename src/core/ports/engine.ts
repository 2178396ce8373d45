import type { UnixMs } from "./clock.ts";

/** A container as an engine lists it. */
export interface EngineContainer {
  readonly id: string;
  readonly name: string;
  readonly running: boolean;
}

/** A container in full. */
export interface ContainerDetails {
  readonly id: string;
  readonly name: string;
  /** `running` includes one that the engine is just starting again. */
  readonly state: "running" | "paused" | "stopped";
  /** When it was started last; 0: never. */
  readonly startedAt: UnixMs;
  readonly labels: Readonly<Record<string, string>>;
  /** How long it may take to end when it is asked to, in milliseconds. */
  readonly stopTimeoutMs: number;
  /** The engine removes it as soon as it stops (`docker run --rm`). */
  readonly removedWhenStopped: boolean;
  readonly volumes: readonly EngineVolume[];
}

/** A volume as an engine lists it. */
export interface EngineVolume {
  readonly name: string;
  /** `local`, `lagan`, … */
  readonly driver: string;
}

/** What an engine says of itself. */
export interface EngineSettings {
  /** `other`: Podman, and whatever else speaks Docker's API. */
  readonly product: "docker" | "other";
  /** As it writes it: `20.10.24+dfsg1`. */
  readonly version: string;
  /** Who keeps its layers: `overlay2`, `lagan`, … */
  readonly storageDriver: string;
  /** Of that driver: `io.containerd.snapshotter.v1` where containerd keeps them; mostly empty. */
  readonly driverType: string;
  /** Drivers of volumes that it has met. */
  readonly volumePlugins: readonly string[];
}

/** What became of a command in a container. */
export interface ContainerExec {
  readonly exitCode: number;
  /** The last {@link EXEC_OUTPUT_LIMIT_BYTES} of what it wrote to both its outputs. */
  readonly output: string;
}

/**
 * A container engine on this machine, asked over its own API. Never asked while it waits for an answer of
 * ours (it may hold locks), so never from the Docker volume API's requests.
 * Every call ends within {@link ENGINE_TIMEOUT_MS}, or the longer time that it names: `unavailable` when the engine
 * does not answer, with `detail.absent` when there is no engine at all. What it refuses is `failed_precondition` with
 * its own words; a container that is gone is `not_found`.
 */
export interface Engine {
  /** Address for messages, such as `unix:///var/run/docker.sock`. */
  readonly address: string;
  /** Containers, running or not, that have a volume of this name. */
  listContainers(volumeName: string, signal: AbortSignal): Promise<readonly EngineContainer[]>;
  /** Every volume that the engine lists. */
  listVolumes(signal: AbortSignal): Promise<readonly EngineVolume[]>;
  settings(signal: AbortSignal): Promise<EngineSettings>;
  /** Undefined when it is gone. */
  inspect(id: string, signal: AbortSignal): Promise<ContainerDetails | undefined>;
  /**
   * Ends it in order: its stop signal, after `timeoutMs` a kill. Resolves when it has ended, and stays so whatever
   * its restart policy says. Not running is success. During it the engine calls our plugin's Unmount.
   */
  stop(id: string, options: { readonly timeoutMs: number }, signal: AbortSignal): Promise<void>;
  /** Running already is success. During it the engine calls our plugin's Mount. Ends within {@link ENGINE_START_TIMEOUT_MS}. */
  start(id: string, signal: AbortSignal): Promise<void>;
  /** Its processes stand still. Paused already is success. */
  pause(id: string, signal: AbortSignal): Promise<void>;
  /** Not paused is success. */
  unpause(id: string, signal: AbortSignal): Promise<void>;
  /**
   * Runs a command in a running container, as its user, to its end.
   *
   * @throws {Failure} `deadline_exceeded` after `timeoutMs`, with `detail.output`; it is killed then, where that can be done.
   */
  exec(
    id: string,
    argv: readonly string[],
    options: { readonly timeoutMs: number },
    signal: AbortSignal,
  ): Promise<ContainerExec>;
}

/** How long one question to an engine may take, in milliseconds. */
export const ENGINE_TIMEOUT_MS = 5_000;
/** How long the start of a container may take, in milliseconds: its volumes are mounted within. */
export const ENGINE_START_TIMEOUT_MS = 60_000;
/** How much of a command's output is kept, from its end, in bytes. */
export const EXEC_OUTPUT_LIMIT_BYTES: number = 4 * 1024;
