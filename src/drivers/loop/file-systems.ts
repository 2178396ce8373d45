import type { Exec } from "../../core/ports/exec.ts";
import { work } from "./command.ts";

/** A file system that an image can hold. */
export type ImageType = "ext4" | "xfs";

/** What differs between the file systems inside images. */
export interface ImageFileSystem {
  /** Smallest image, in bytes. */
  readonly minBytes: number;
  /** How an image is mounted that takes writes; deleted files give the host its room back. */
  readonly options: readonly string[];
  /** How one is mounted that nothing may change: not even its journal is looked at, which is empty. */
  readonly sealedOptions: readonly string[];
  /** It can be made smaller, while nobody has it mounted. */
  readonly shrinks: boolean;
  /** Makes one that fills the image, empty but for its own directories. */
  format(exec: Exec, attempt: string, image: string, sizeBytes: number): Promise<void>;
  /** Makes a mounted one fill its device. */
  grow(exec: Exec, attempt: string, device: string, mountPoint: string): Promise<void>;
}

/** Below this, small blocks and a journal of 1 MiB, so that little volumes have room; in bytes. */
const SMALL_BYTES: number = 64 * 1024 ** 2;

const ext4: ImageFileSystem = {
  // The smallest with a journal, without which a crash would not leave a whole file system.
  minBytes: 4 * 1024 ** 2,
  options: ["noatime", "discard", "errors=remount-ro"],
  sealedOptions: ["ro", "noatime", "noload"],
  shrinks: true,
  async format(exec, attempt, image, sizeBytes) {
    // An attribute that does not fit in a small block gets an inode of its own.
    const blocks =
      sizeBytes < SMALL_BYTES ? (["1024", "-O", "ea_inode"] as const) : (["4096"] as const);
    await work(exec, attempt, [
      ...(["mkfs.ext4", "-q", "-F", "-b"] as const),
      ...blocks,
      // No blocks kept back for root: containers run as it. The rest is written when it is used: a new file is zeroes.
      ...["-m", "0", "-E", "root_owner=0:0,lazy_journal_init=1", image],
    ]);
  },
  async grow(exec, attempt, device) {
    await work(exec, attempt, ["resize2fs", device]);
  },
};

const xfs: ImageFileSystem = {
  // mkfs.xfs makes none below it (xfsprogs 5.19).
  minBytes: 300 * 1024 ** 2,
  // Copies of an image have the same UUID.
  options: ["noatime", "discard", "nouuid"],
  sealedOptions: ["ro", "noatime", "norecovery", "nouuid"],
  shrinks: false,
  async format(exec, attempt, image) {
    // With sectors of 512 bytes a copy that shares bytes could be mounted without direct I/O only.
    await work(exec, attempt, ["mkfs.xfs", "-q", "-f", "-s", "size=4096", image]);
  },
  async grow(exec, attempt, _device, mountPoint) {
    await work(exec, attempt, ["xfs_growfs", mountPoint]);
  },
};

/** Every file system that an image can hold. */
export const FILE_SYSTEMS: Readonly<Record<ImageType, ImageFileSystem>> = { ext4, xfs };
