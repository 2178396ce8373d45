import type { SimFileSystem } from "./file-system.ts";
import { type Attributes, SimNode } from "./node.ts";

/** Bytes that btrfs counts for a subvolume with nothing in it (its own tree's root block). */
const EMPTY_SUBVOLUME_BYTES = 16_384;
const ROOT_INODE_BTRFS = 256;
const ROOT_INODE = 2;

/** Flags and limits of a tree. Replaced whole, so that the durable one can be kept. */
export interface TreeSettings {
  readonly readOnly: boolean;
  readonly limitBytes: number | null;
}

/** A subvolume; a file system without subvolumes has just one tree. */
export class SimTree {
  readonly id: number;
  readonly fileSystem: SimFileSystem;
  /** `st_dev` of everything in it. */
  readonly device: number;
  readonly root: SimNode;
  settings: TreeSettings = { readOnly: false, limitBytes: null };
  durable: TreeSettings = this.settings;
  referencedBytes = 0;
  exclusiveBytes = 0;
  nextInode: number;
  /** The last change of anything in it, counted in the file system. */
  changedIn = 0;
  /** The one that it is a snapshot of, and the change before it was made. */
  madeFrom: SimTree | null = null;
  madeIn = 0;

  constructor(fileSystem: SimFileSystem, id: number, device: number, owner: Attributes) {
    this.id = id;
    this.fileSystem = fileSystem;
    this.device = device;
    this.nextInode = fileSystem.hasSubvolumes ? ROOT_INODE_BTRFS : ROOT_INODE;
    this.root = new SimNode("directory", this, this.nextInode++, owner);
    this.countNothing();
  }

  /** Sets the figures to those of an empty tree. */
  countNothing(): void {
    this.referencedBytes = this.fileSystem.hasSubvolumes ? EMPTY_SUBVOLUME_BYTES : 0;
    this.exclusiveBytes = this.referencedBytes;
  }
}
