import type { TreeBytes } from "../core/ports/files.ts";
import { failureOf } from "./errno.ts";
import type { Incarnation } from "./incarnation.ts";
import type { SimMountNamespace } from "./mount-namespace.ts";
import { type Place, topOf } from "./mount-namespace.ts";
import { allocatedBytesOf, contentOf, type SimNode } from "./node.ts";
import { ensureWritable } from "./process.ts";

/** Who copies, and in whose sight. */
export interface Copier {
  readonly namespace: SimMountNamespace;
  readonly incarnation: Incarnation;
}

/** `Files.copyTree`: directory by directory, each at one instant, so that a crash or an abort leaves a part. */
export async function copyTree(
  copier: Copier,
  source: string,
  target: string,
  signal: AbortSignal,
): Promise<void> {
  const { namespace, incarnation } = copier;
  const [from, to] = await incarnation.call(() => {
    signal.throwIfAborted();
    const found = namespace.find(source);
    if (found === undefined) throw failureOf("copy", source, "ENOENT");
    if (found.node.kind !== "directory") throw failureOf("copy", source, "ENOTDIR");
    const entry = namespace.findEntry(target);
    if (entry === undefined) throw failureOf("copy to", target, "ENOENT");
    if (entry.place !== undefined) throw failureOf("copy to", target, "EEXIST");
    ensureWritable(entry.directory, "copy to", target);
    return [found, copyNode(found.node, entry.directory.node, entry.name)] as const;
  });
  await copyEntries(incarnation, from, to, signal);
  await incarnation.call(() => to.tree.fileSystem.commit());
}

async function copyEntries(
  incarnation: Incarnation,
  from: Place,
  to: SimNode,
  signal: AbortSignal,
): Promise<void> {
  const directories = await incarnation.call(() => {
    signal.throwIfAborted();
    const inner: [Place, SimNode][] = [];
    for (const [name, node] of [...from.node.entries]) {
      const place = topOf({ mount: from.mount, node });
      const stays = place.node === node && !node.isSubvolume;
      if (!stays && node.kind !== "directory") continue;
      const copy = copyNode(place.node, to, name);
      if (stays && node.entries.size > 0) inner.push([place, copy]);
    }
    return inner;
  });
  for (const [place, copy] of directories) await copyEntries(incarnation, place, copy, signal);
}

/** `Files.measureTree`. */
export function measureTree(top: Place): TreeBytes {
  let allocatedBytes = 0;
  let sharedBytes = 0;
  const places = [top];
  for (const { mount, node } of places) {
    const bytes = allocatedBytesOf(node);
    allocatedBytes += bytes;
    const holders = [...(node.attributes.content.extent?.holders.values() ?? [])];
    if (holders.reduce((sum, count) => sum + count, 0) > 1) sharedBytes += bytes;
    for (const child of node.entries.values()) {
      const place = topOf({ mount, node: child });
      if (place.node === child && !child.isSubvolume) places.push(place);
    }
  }
  return { allocatedBytes, sharedBytes, entries: places.length };
}

/**
 * Copies one node, in memory, without what is in it. @param options `existing`: what is to become like `from`; `clones`:
 * bytes are shared where the file system can, which they are unless told.
 */
export function copyNode(
  from: SimNode,
  directory: SimNode,
  name: string,
  options: { readonly existing?: SimNode | undefined; readonly clones?: boolean } = {},
): SimNode {
  const { existing, clones = true } = options;
  const { fileSystem } = (existing ?? directory).tree;
  const { mode, uid, gid, content } = from.attributes;
  const to =
    existing ?? fileSystem.create(directory, name, from.kind, { mode, uid, gid }, from.target);
  if (existing !== undefined) fileSystem.setAttributes(to, { mode, uid, gid });
  if (from.kind === "file") {
    const shares = clones && fileSystem.canClone && from.tree.fileSystem === fileSystem;
    const { text, sizeBytes, extent } = content;
    const own = contentOf(text, sizeBytes, extent?.sizeBytes ?? 0);
    fileSystem.setContent(to, shares ? content : own, name);
  }
  return to;
}
