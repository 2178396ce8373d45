import { Failure } from "../core/failure.ts";
import type { SimFileSystem } from "./file-system.ts";
import { type Content, contentOf, type SimNode } from "./node.ts";
import type { SimTree } from "./tree.ts";

/** A file of `tree` has this content from now on. */
export function holdBytes(content: Content, tree: SimTree): void {
  const { extent } = content;
  if (extent === null) return;
  const { holders, sizeBytes } = extent;
  const count = holders.get(tree) ?? 0;
  if (count === 0) {
    const [only] = holders.keys();
    if (only === undefined) {
      tree.fileSystem.usedBytes += sizeBytes;
      tree.exclusiveBytes += sizeBytes;
    } else if (holders.size === 1) only.exclusiveBytes -= sizeBytes;
    tree.referencedBytes += sizeBytes;
  }
  holders.set(tree, count + 1);
}

/** A file of `tree` has this content no longer. */
export function releaseBytes(content: Content, tree: SimTree): void {
  const { extent } = content;
  const count = extent?.holders.get(tree);
  if (extent === null || count === undefined) return;
  const { holders, sizeBytes } = extent;
  if (count > 1) {
    holders.set(tree, count - 1);
    return;
  }
  holders.delete(tree);
  tree.referencedBytes -= sizeBytes;
  const [only] = holders.keys();
  if (only === undefined) {
    tree.fileSystem.usedBytes -= sizeBytes;
    tree.exclusiveBytes -= sizeBytes;
  } else if (holders.size === 1) only.exclusiveBytes += sizeBytes;
}

/**
 * Makes sure that `node` may get this content, and that the image underneath has the blocks.
 * @throws {Failure} `resource_exhausted` over the tree's limit or the file system's size; `data_loss` when the
 *   disk underneath is full, and the file system is read-only from then on. They name `path`.
 */
export function ensureRoom(node: SimNode, content: Content, path: string): void {
  const { extent } = content;
  const { tree } = node;
  if (extent === null || extent.holders.has(tree)) return;
  const fileSystem = tree.fileSystem;
  const freedBytes = bytesOfItsOwn(node);
  const { limitBytes } = tree.settings;
  const referencedBytes = tree.referencedBytes + extent.sizeBytes - freedBytes;
  const grows = extent.sizeBytes > freedBytes;
  if (fileSystem.quotas && limitBytes !== null && grows && referencedBytes > limitBytes) {
    throw new Failure(
      "resource_exhausted",
      `Cannot write ${path}: its subvolume may have ${limitBytes} bytes (EDQUOT)`,
    );
  }
  if (extent.holders.size > 0) return;
  const usedBytes = fileSystem.usedBytes + extent.sizeBytes - freedBytes;
  if (usedBytes > fileSystem.totalBytes) {
    throw new Failure(
      "resource_exhausted",
      `Cannot write ${path}: no space left on ${fileSystem.device} (ENOSPC)`,
    );
  }
  growImage(fileSystem, usedBytes, path);
}

/** Counts everything of a file system anew, from what can be reached. */
export function recount(fileSystem: SimFileSystem): void {
  fileSystem.usedBytes = 0;
  fileSystem.subvolumes.clear();
  const nodes: SimNode[] = [fileSystem.top.root];
  for (const node of nodes) {
    node.attributes.content.extent?.holders.clear();
    if (node.tree.root === node) {
      node.tree.countNothing();
      fileSystem.subvolumes.set(node.tree.id, node.tree);
    }
    for (const child of node.entries.values()) nodes.push(child);
  }
  for (const node of nodes) holdBytes(node.attributes.content, node.tree);
}

function growImage(fileSystem: SimFileSystem, usedBytes: number, path: string): void {
  const image = fileSystem.backing;
  if (image?.kind !== "file") return;
  const { content } = image.attributes;
  if ((content.extent?.sizeBytes ?? 0) >= usedBytes) return;
  try {
    image.tree.fileSystem.setContent(
      image,
      contentOf(content.text, content.sizeBytes, Math.min(usedBytes, content.sizeBytes)),
      path,
    );
  } catch (error) {
    fileSystem.faulted = true;
    throw new Failure(
      "data_loss",
      `Cannot write ${path}: the disk under ${fileSystem.device} is full (EIO)`,
      { cause: error },
    );
  }
}

/** Bytes of a file that nothing else holds. */
export function bytesOfItsOwn(node: SimNode): number {
  const { extent } = node.attributes.content;
  if (extent === null || extent.holders.size > 1) return 0;
  return extent.holders.get(node.tree) === 1 ? extent.sizeBytes : 0;
}
