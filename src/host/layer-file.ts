import { writeSync } from "node:fs";
import koffi from "koffi";
import { paddedBytes } from "../core/archive/block.ts";
import { SparseMap } from "../core/archive/sparse-map.ts";
import { errnoName } from "./errno.ts";
import { attempt, SyscallError } from "./libc.ts";

const libc = koffi.load("libc.so.6");
const rawTruncate = libc.func("int ftruncate(int, int64_t)");

/** Puts the content of a layer's file where it belongs, as it comes. */
export class LayerFile {
  readonly #fd: number;
  readonly #path: string;
  readonly #sparseBytes: number | null;
  readonly #map: SparseMap | null;
  /** Bytes of the entry's content that came. */
  #came = 0;
  /** Where the content begins, behind the map; undefined: the map is not over. */
  #begin: number | undefined;
  #part = 0;
  #inPart = 0;

  /** @param storedBytes Bytes of the content. @param sparseBytes Size with holes; null: it has none. */
  constructor(fd: number, storedBytes: number, sparseBytes: number | null, path: string) {
    this.#fd = fd;
    this.#path = path;
    this.#sparseBytes = sparseBytes;
    this.#map = sparseBytes === null ? null : new SparseMap(storedBytes, sparseBytes, true);
  }

  write(piece: Uint8Array): void {
    if (this.#map === null) this.#put(piece, this.#came);
    else this.#spread(piece, this.#map);
    this.#came += piece.length;
  }

  /** Gives it its size. */
  end(): void {
    if (this.#sparseBytes === null) return;
    if (rawTruncate(this.#fd, this.#sparseBytes) >= 0) return;
    throw new SyscallError("set size of", this.#path, errnoName(koffi.errno()));
  }

  #spread(piece: Uint8Array, map: SparseMap): void {
    if (this.#begin === undefined) {
      if (map.push(piece) !== true) return;
      this.#begin = paddedBytes(map.mapBytes);
    }
    let rest = piece.subarray(Math.max(0, this.#begin - this.#came));
    while (rest.length > 0) {
      const part = map.parts[this.#part];
      // The reader has seen that the map covers all of it.
      if (part === undefined) return;
      const [offset, sizeBytes] = part;
      const here = rest.subarray(0, sizeBytes - this.#inPart);
      this.#put(here, offset + this.#inPart);
      rest = rest.subarray(here.length);
      this.#inPart += here.length;
      if (this.#inPart === sizeBytes) {
        this.#part++;
        this.#inPart = 0;
      }
    }
  }

  #put(bytes: Uint8Array, offset: number): void {
    for (let at = 0; at < bytes.length; ) {
      const from = at;
      at += attempt("write", this.#path, () =>
        writeSync(this.#fd, bytes, from, bytes.length - from, offset + from),
      );
    }
  }
}
