import { Failure } from "../../core/failure.ts";
import type { Topology, TopologyRequirement } from "../shared/generated/csi.ts";
import { TOPOLOGY_KEY } from "./door.ts";
import { refused } from "./fields.ts";

/** Where volumes of a node can be reached. */
export function topologyOf(node: string): Topology {
  return { segments: { [TOPOLOGY_KEY]: node } };
}

/** True when what is on `node` can be reached there; keys are told apart without case. */
export function covers(topology: Topology, node: string): boolean {
  return Object.entries(topology.segments).every(
    ([key, value]) => key.toLowerCase() === TOPOLOGY_KEY && value === node,
  );
}

/**
 * @throws {Failure} `resource_exhausted` when a volume must be where this node is not, so that the client asks another;
 * `invalid_argument` for a preference that is none of the requisites.
 */
export function ensureReachable(requirement: TopologyRequirement | undefined, node: string): void {
  if (requirement === undefined) return;
  const { requisite, preferred } = requirement;
  const known = new Set(requisite.map(inWords));
  if (known.size > 0 && preferred.some((topology) => !known.has(inWords(topology)))) {
    throw refused("accessibility_requirements", "what is preferred is not among the requisites");
  }
  const asked = requisite.length > 0 ? requisite : preferred;
  if (asked.length === 0 || asked.some((topology) => covers(topology, node))) return;
  throw new Failure(
    "resource_exhausted",
    `Cannot place it where it is asked for: this is node "${node}" (${TOPOLOGY_KEY}), and its volumes are reached nowhere else`,
  );
}

function inWords({ segments }: Topology): string {
  return JSON.stringify(Object.entries(segments).sort(([a], [b]) => (a < b ? -1 : 1)));
}
