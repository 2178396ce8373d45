import { Failure } from "../core/failure.ts";
import { quote } from "../core/name.ts";
import type { Engine } from "../core/ports/engine.ts";
import type { Volume } from "../core/volume/volume.ts";
import { isClientId } from "./mount-hints.ts";

/** A process chooses its own name: without quotation marks, harmless to a terminal. */
export function shown(command: string): string {
  return quote(command).slice(1, -1);
}

/** @throws {Failure} `failed_precondition` for a volume that is a block device, unless a client that knows of those asks. */
export function ensureServes({ name, spec }: Volume, mountId: string): void {
  if (spec.block !== true || isClientId(mountId)) return;
  throw new Failure(
    "failed_precondition",
    `Cannot mount volume "${name}": it is a block device, without files; use it through CSI, or take a volume of files`,
  );
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

/** Only content that is known to be gone: of a disk that could not be read nobody knows who uses it. */
export function lostIsUndefined(thrown: unknown): undefined {
  if (!(thrown instanceof Failure) || thrown.detail["missing"] === undefined) throw thrown;
}
