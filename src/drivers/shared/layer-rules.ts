import { Failure } from "../../core/failure.ts";
import type { LayerId } from "../../core/id.ts";
import type { DriverTraits, LayerInfo } from "../../core/ports/storage-driver.ts";
import { formatBytes } from "../../core/size.ts";
import type { ShelvedLayer } from "./shelf.ts";
import type { Trees } from "./trees.ts";

/** True when `found` is what a commit or a snapshot of `active` left. */
export function isCommitOf(found: ShelvedLayer, active: LayerId): boolean {
  return found.info.kind === "committed" && found.record.committedFrom === active;
}

/** @throws {Failure} `not_found`. */
export function ensureFound<T extends ShelvedLayer>(attempt: string, found: T | undefined): T {
  if (found === undefined) throw new Failure("not_found", `${attempt}: it does not exist`);
  return found;
}

/** @throws {Failure} `not_found`, or `failed_precondition` when the layer is not active. */
export function ensureActive<T extends ShelvedLayer>(attempt: string, found: T | undefined): T {
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

/** @throws {Failure} `failed_precondition` when the driver has no limits. */
export function ensureCanLimit(
  attempt: string,
  traits: DriverTraits,
  sizeBytes: number | null,
): void {
  if (sizeBytes === null || traits.sizeLimit !== false) return;
  throw new Failure(
    "failed_precondition",
    `${attempt} with a size limit: this pool's driver cannot enforce one; leave the size out, or use a pool with size limits`,
  );
}

/** For what only a driver with layers can do. */
export function hasNoLayers(attempt: string): Failure {
  return new Failure("unimplemented", `${attempt}: this pool's driver has no layers`);
}

/** @throws {Failure} `unimplemented` when the driver takes no parents. */
export function ensureCanLayer(
  attempt: string,
  traits: DriverTraits,
  parent: LayerId | null,
): void {
  if (parent === null || traits.layers) return;
  throw new Failure(
    "unimplemented",
    `${attempt} from ${parent}: this pool's driver has no layers upon layers`,
  );
}

/** @throws {Failure} `failed_precondition` when the content is larger than `sizeBytes`. */
export async function ensureFits(
  attempt: string,
  trees: Trees,
  content: string,
  sizeBytes: number,
  signal: AbortSignal,
): Promise<void> {
  if (trees.ensureFits) return trees.ensureFits(attempt, content, sizeBytes, signal);
  const { referencedBytes } = await trees.usage(content, signal);
  if (referencedBytes <= sizeBytes) return;
  throw new Failure(
    "failed_precondition",
    `${attempt} to ${formatBytes(sizeBytes)}: it holds ${formatBytes(referencedBytes)}; delete files in it first, or choose a larger limit`,
    { detail: { referencedBytes, sizeBytes } },
  );
}

/** True of what somebody can clear away, after which the same call succeeds. */
export function isInTheWay(thrown: unknown): thrown is Failure {
  const codes = ["failed_precondition", "permission_denied"];
  return thrown instanceof Failure && codes.includes(thrown.code);
}

/** For a directory of a parent as a root, where a clone has the parent's own. */
export function hasNoRoots(): Failure {
  return new Failure("unimplemented", "Cannot make a layer of a directory of its parent here");
}

/** @throws {Failure} `failed_precondition` for writing to a committed layer. */
export function ensureMountable(
  attempt: string,
  { kind }: LayerInfo,
  { readOnly }: { readonly readOnly: boolean },
): void {
  if (kind !== "committed" || readOnly) return;
  throw new Failure("failed_precondition", `${attempt} for writing: it is committed`);
}
