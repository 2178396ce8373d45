import { paddedBytes } from "./block.ts";

/** Most parts of one sparse file: tar keeps them all in memory. */
const PARTS_LIMIT = 4_000_000;
const NEWLINE = 0x0a;

/**
 * Reads the map that begins the content of a sparse file (GNU's format 1.0: the number of parts, then offset and length of
 * each, in decimal lines, filled up to a whole block), as the bytes pass by, and sees that it describes what follows it.
 */
export class SparseMap {
  /** Offset and length of each part that is stored, once the map was right; only when they are kept. */
  readonly parts: (readonly [offset: number, sizeBytes: number])[] = [];
  readonly #keeps: boolean;
  readonly #storedBytes: number;
  readonly #realBytes: number;
  #left: number | null = null;
  #value: number | null = null;
  #offset: number | null = null;
  /** Where the last part ends in the file. */
  #end = 0;
  #partsBytes = 0;
  #mapBytes = 0;

  /** Bytes of the map itself so far. */
  get mapBytes(): number {
    return this.#mapBytes;
  }

  /**
   * @param storedBytes Bytes that are stored, the map's among them.
   * @param realBytes Size of the file with its holes.
   * @param keeps Whether `parts` are kept, in memory.
   */
  constructor(storedBytes: number, realBytes: number, keeps = false) {
    this.#keeps = keeps;
    this.#storedBytes = storedBytes;
    this.#realBytes = realBytes;
  }

  /** Takes bytes of the content. False: the map is wrong. Undefined: it goes on. True: it was right; what follows is content. */
  push(bytes: Uint8Array): boolean | undefined {
    for (const byte of bytes) {
      this.#mapBytes++;
      if (byte === NEWLINE) {
        if (this.#value === null || !this.#take(this.#value)) return false;
        this.#value = null;
        if (this.#left === 0) return this.#fits();
      } else {
        if (byte < 0x30 || byte > 0x39) return false;
        this.#value = (this.#value ?? 0) * 10 + byte - 0x30;
        if (!Number.isSafeInteger(this.#value)) return false;
      }
    }
    return undefined;
  }

  #take(value: number): boolean {
    if (this.#left === null) {
      this.#left = value;
      // Each part takes four bytes of the map at least.
      return value <= PARTS_LIMIT && value * 4 <= this.#storedBytes;
    }
    if (this.#offset === null) {
      this.#offset = value;
      return value >= this.#end;
    }
    if (this.#keeps) this.parts.push([this.#offset, value]);
    this.#end = this.#offset + value;
    this.#partsBytes += value;
    this.#offset = null;
    this.#left--;
    return this.#end <= this.#realBytes;
  }

  #fits(): boolean {
    return paddedBytes(this.#mapBytes) + this.#partsBytes === this.#storedBytes;
  }
}
