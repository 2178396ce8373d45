import { Failure } from "../core/failure.ts";
import { quote } from "../core/name.ts";
import type { Engine } from "../core/ports/engine.ts";
import type { Volume } from "../core/volume/volume.ts";

/** A process chooses its own name: without quotation marks, harmless to a terminal. */
export function shown(command: string): string {
  return quote(command).slice(1, -1);
}

/** For an engine that does not say which volumes its containers have. */
export function noAnswer(engine: Engine, cause: unknown): Failure {
  return new Failure(
    "unavailable",
    `Cannot tell which volumes are unused: the engine at ${engine.address} does not answer; start it, or take it out of "engines" in lagan.yaml`,
    { cause },
  );
}

/** For a volume that somebody has. */
export function inUse(attempt: string, volume: Volume, holder: string, what: string): Failure {
  return new Failure(
    "failed_precondition",
    `Cannot ${attempt} volume "${volume.name}": it is in use by ${holder}; ${what}`,
    { detail: { volume: volume.name } },
  );
}
