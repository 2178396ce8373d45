import type { MountEntry } from "../ports/kernel.ts";

/** File systems that device nodes lie in. */
const NODE_FILE_SYSTEMS: readonly string[] = ["devtmpfs", "tmpfs"];

/** True of a mount that shows the node of the loop device `device` (`/dev/loopN`), whoever's `/dev` it was taken from. */
export function showsNode({ type, root }: MountEntry, device: string): boolean {
  const name = device.slice(device.lastIndexOf("/"));
  return NODE_FILE_SYSTEMS.includes(type) && root.endsWith(name);
}

/** True of a mount that shows the node of any loop device. */
export function showsAnyNode({ type, root }: MountEntry): boolean {
  return NODE_FILE_SYSTEMS.includes(type) && /\/loop\d+$/.test(root);
}
