import type { MountNamespace } from "../core/ports/kernel.ts";
import type { Content } from "./mount-place.ts";

/** A process group that has a volume in its mount table. */
export interface VolumeUser {
  readonly pid: number;
  readonly command: string;
  readonly containerId: string | null;
  /** Set: it is ourselves, for a client that asked for it at this path. */
  readonly target: string | null;
}

/** Who has a mount of the content. What is mounted nowhere by us is nobody's; so is content that is gone, for what is left of the volume to be removed. */
export function usersOf(
  content: Content | undefined,
  namespaces: readonly MountNamespace[],
): readonly VolumeUser[] {
  if (content === undefined) return [];
  return namespaces.flatMap(({ pid, command, containerId, own, entries }) => {
    const entry = entries.find(content.isShownBy);
    if (entry === undefined) return [];
    return { pid, command, containerId, target: own ? entry.mountPoint : null };
  });
}
