import type { PoolHealth } from "../../core/ports/storage-driver.ts";
import { formatBytes } from "../../core/size.ts";

/** Sparse files on a file system of a host. */
export interface SparseFiles {
  /** Beginning of a sentence: `The pool's file …`, `The pool's directory …`. */
  readonly what: string;
  /** By how many bytes they may still grow. */
  readonly missingBytes: number;
  /** Room of the file system under them, in bytes. */
  readonly availableBytes: number;
  /** What happens when that is full, and what to do. */
  readonly fate: string;
}

/** A warning when the host's room is not enough for every byte that sparse files still lack: writers will see I/O errors. */
export function sparseRoom({ what, missingBytes, availableBytes, fate }: SparseFiles): PoolHealth {
  if (availableBytes >= missingBytes) return { state: "up" };
  const [more, left] = [formatBytes(missingBytes), formatBytes(availableBytes)];
  const why = `${what} may still grow by ${more}, but its disk has only ${left} left; when that is full, ${fate}`;
  return { state: "warning", why };
}
