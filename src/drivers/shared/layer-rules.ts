import { Failure } from "../../core/failure.ts";
import type { LayerId } from "../../core/id.ts";
import type { LayerInfo } from "../../core/ports/storage-driver.ts";
import type { ShelvedLayer } from "./shelf.ts";

/** True when `found` is what a commit or a snapshot of `active` left. */
export function isCommitOf(found: ShelvedLayer, active: LayerId): boolean {
  return found.info.kind === "committed" && found.record.committedFrom === active;
}

/** @throws {Failure} `not_found`. */
export function ensureFound(attempt: string, found: ShelvedLayer | undefined): ShelvedLayer {
  if (found === undefined) throw new Failure("not_found", `${attempt}: it does not exist`);
  return found;
}

/** @throws {Failure} `not_found`, or `failed_precondition` when the layer is not active. */
export function ensureActive(attempt: string, found: ShelvedLayer | undefined): ShelvedLayer {
  const layer = ensureFound(attempt, found);
  if (layer.info.kind === "active") return layer;
  throw new Failure("failed_precondition", `${attempt}: it is ${layer.info.kind}, not active`);
}

/** @throws {Failure} `already_exists` when `found` is not of this kind and parent. */
export function ensureSame(
  attempt: string,
  found: LayerInfo,
  kind: LayerInfo["kind"],
  parent: LayerId | null,
): void {
  if (found.kind === kind && found.parent === parent) return;
  throw new Failure(
    "already_exists",
    `${attempt}: it exists as ${found.kind} with parent ${found.parent ?? "none"}`,
  );
}

/** For a commit whose target is taken. */
export function exists(attempt: string, as: LayerId): Failure {
  return new Failure("already_exists", `${attempt}: layer ${as} exists and is not that commit`);
}
