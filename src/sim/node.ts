import type { SimFileSystem } from "./file-system.ts";
import type { SimTree } from "./tree.ts";

/** Bytes on disk, shared by every file that was cloned from one another. */
export interface Extent {
  readonly sizeBytes: number;
  /** How many files of each tree have it. */
  readonly holders: Map<SimTree, number>;
}

/** What a file contains. Only our own small files have a text; of the rest, the size is enough. */
export interface Content {
  readonly text: string | null;
  readonly sizeBytes: number;
  readonly extent: Extent | null;
}

/** What can change about a node besides its entries. Replaced whole, so that an old one can be kept. */
export interface Attributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly content: Content;
}

/** Content of a new file, and of everything that is no file. */
export const EMPTY: Content = { text: "", sizeBytes: 0, extent: null };

/** Content of `sizeBytes` bytes that really are on disk, in whole blocks. */
export function contentOf(text: string | null, sizeBytes: number, allocatedBytes: number): Content {
  const blocksBytes = Math.ceil(allocatedBytes / BLOCK_BYTES) * BLOCK_BYTES;
  const extent = blocksBytes === 0 ? null : { sizeBytes: blocksBytes, holders: new Map() };
  return { text, sizeBytes, extent };
}

const BLOCK_BYTES = 4096;

/**
 * A file, directory, symbolic link or device: what is in memory, and what of it a power cut would leave.
 * Only {@link SimFileSystem} changes one.
 */
export class SimNode {
  readonly kind: "file" | "directory" | "symlink" | "other";
  readonly tree: SimTree;
  readonly inode: number;
  /** Where a symbolic link points; else empty. */
  readonly target: string;
  attributes: Attributes;
  durable: Attributes;
  readonly entries: Map<string, SimNode> = new Map();
  /** Names whose entry is not durable, each with the entry that is (null: none). */
  lost: Map<string, SimNode | null> | null = null;
  /** The directory that has, or last had, this node. Null: a file system's root. */
  parent: SimNode | null = null;
  name = "";
  /** False once removed, though mounts and open files may still hold it. */
  linked = true;
  /** The file system inside this image file or device. */
  inside: SimFileSystem | null = null;

  constructor(
    kind: SimNode["kind"],
    tree: SimTree,
    inode: number,
    attributes: Attributes,
    target = "",
  ) {
    this.kind = kind;
    this.tree = tree;
    this.inode = inode;
    this.attributes = attributes;
    this.durable = attributes;
    this.target = target;
  }

  /** True for the root of a subvolume that lies in another one. */
  get isSubvolume(): boolean {
    return this.tree.root === this && this.parent !== null;
  }

  /** The way from `top` down to this node as mountinfo writes it, and whether it is cut by a removal. */
  pathFrom(top: SimNode): { readonly path: string; readonly deleted: boolean } {
    let path = "";
    let deleted = false;
    for (let node: SimNode = this; node !== top && node.parent !== null; node = node.parent) {
      path = `/${node.name}${path}`;
      if (!node.linked) deleted = true;
    }
    return { path: path === "" ? "/" : path, deleted };
  }
}

/** Bytes that a node has on disk: what `stat` tells of it. */
export function allocatedBytesOf(node: SimNode): number {
  if (node.kind === "directory") return node.tree.fileSystem.hasSubvolumes ? 0 : 4096;
  return node.attributes.content.extent?.sizeBytes ?? 0;
}

/** Bytes of a text in UTF-8. */
export function utf8Bytes(text: string): number {
  let bytes = text.length;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) continue;
    // A pair of surrogates is two units and four bytes; everything else above 0x7ff is one and three.
    const paired = unit >= 0xd800 && unit < 0xe000;
    bytes += unit < 0x800 || paired ? 1 : 2;
  }
  return bytes;
}
