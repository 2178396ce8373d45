import { readSync, writeSync } from "node:fs";
import koffi from "koffi";
import { errnoName } from "./errno.ts";
import { attempt, SyscallError } from "./libc.ts";

const libc = koffi.load("libc.so.6");
const rawIoctlNumber = libc.func("ioctl", "int", ["int", "ulong", "long"]);
const rawSeek = libc.func("int64_t lseek(int, int64_t, int)");
const rawTruncate = libc.func("int ftruncate(int, int64_t)");
const rawCopyRange = libc.func(
  "long copy_file_range(int, _Inout_ int64_t *, int, _Inout_ int64_t *, ulong, uint)",
);

/** linux/fs.h (6.1) */
const FICLONE = 0x40049409;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
/** Most that is copied before somebody can say stop, in bytes. */
const STEP_BYTES = 16 * 1024 ** 2;
/** What is read and written at once where the kernel does not copy, in bytes. */
const BLOCK_BYTES = 1024 ** 2;

/** ioctl_ficlone(2): what the kernel says where no two files can share bytes. */
const NEVER_CLONES: readonly string[] = ["EOPNOTSUPP", "ENOTSUP", "ENOTTY", "ENOSYS", "EXDEV"];
/** And of these two: their flags differ, or the source is a swap file or is being checked (fs-verity). */
const NO_CLONE: readonly string[] = ["EINVAL", "ETXTBSY", "EPERM"];
/** copy_file_range(2): what it says of files that it does not copy, on some file system or other; swap files on all. */
const NO_RANGE: readonly string[] = [
  ...["EXDEV", "EINVAL", "EOPNOTSUPP", "ENOTSUP", "ENOSYS", "EPERM", "ETXTBSY"],
];

/** The file is over. */
export const END: unique symbol = Symbol("end");

/** Copies the bytes of files: shared where the file system can, else read and written; holes stay holes. */
export class FileBytes {
  readonly #goesOn: () => void;
  readonly #count: (bytes: number) => void;
  #clones = true;
  #ranges = true;
  #block: Buffer | undefined;

  /**
   * @param goesOn Called between steps; throws when there is to be no further one.
   * @param count Is told how many bytes a step copied.
   */
  constructor(goesOn: () => void, count: (bytes: number) => void) {
    this.#goesOn = goesOn;
    this.#count = count;
  }

  /** Copies up to `sizeBytes`, which the source had a moment ago: what is written behind that is not followed. */
  copy(from: number, to: number, sizeBytes: number, path: string): void {
    if (sizeBytes === 0) return;
    if (this.#clone(from, to, path)) {
      this.#count(sizeBytes);
      return;
    }
    let offset = 0;
    while (offset < sizeBytes) {
      const data = seek(from, offset, SEEK_DATA, path);
      if (data === END) break;
      const hole = seek(from, data, SEEK_HOLE, path);
      const end = Math.min(hole === END ? data : hole, sizeBytes);
      const copied = this.#copyRange(from, to, data, end, path);
      if (copied < end) {
        // Somebody cut the source off meanwhile.
        sizeBytes = copied;
        break;
      }
      offset = end;
    }
    if (rawTruncate(to, sizeBytes) < 0) throw failed("set size of", path);
  }

  #clone(from: number, to: number, path: string): boolean {
    if (!this.#clones) return false;
    if (rawIoctlNumber(to, FICLONE, from) >= 0) return true;
    const error = failed("clone", path);
    if (NEVER_CLONES.includes(error.errno)) this.#clones = false;
    else if (!NO_CLONE.includes(error.errno)) throw error;
    return false;
  }

  /** Answers how far it came: less than `end` when the source is over. */
  #copyRange(from: number, to: number, start: number, end: number, path: string): number {
    let offset = start;
    while (offset < end) {
      this.#goesOn();
      const wanted = Math.min(end - offset, STEP_BYTES);
      const copied = this.#ranges
        ? this.#range(from, to, offset, wanted, path)
        : this.#readAndWrite(from, to, offset, wanted, path);
      if (copied === 0) break;
      this.#count(copied ?? 0);
      offset += copied ?? 0;
    }
    return offset;
  }

  /** Undefined when the kernel does not copy these. */
  #range(
    from: number,
    to: number,
    offset: number,
    bytes: number,
    path: string,
  ): number | undefined {
    const copied: number = rawCopyRange(from, [offset], to, [offset], bytes, 0);
    if (copied >= 0) return copied;
    const error = failed("copy", path);
    if (!NO_RANGE.includes(error.errno)) throw error;
    this.#ranges = false;
    return undefined;
  }

  #readAndWrite(from: number, to: number, offset: number, bytes: number, path: string): number {
    this.#block ??= Buffer.alloc(BLOCK_BYTES);
    const block = this.#block;
    const length = Math.min(bytes, block.length);
    const read = attempt("read", path, () => readSync(from, block, 0, length, offset));
    let written = 0;
    while (written < read) {
      const at = written;
      written += attempt("write", path, () => writeSync(to, block, at, read - at, offset + at));
    }
    return read;
  }
}

/** Where the next data, or the next hole, begins; {@link END}: there is none. */
export function seek(
  fd: number,
  offset: number,
  whence: number,
  path: string,
): number | typeof END {
  const found = Number(rawSeek(fd, offset, whence));
  if (found >= 0) return found;
  const error = failed("seek in", path);
  if (error.errno === "ENXIO") return END;
  // A file system that tells of no holes: lseek(2).
  if (error.errno === "EINVAL") return whence === SEEK_DATA ? offset : Number.MAX_SAFE_INTEGER;
  throw error;
}

function failed(call: string, path: string): SyscallError {
  return new SyscallError(call, path, errnoName(koffi.errno()));
}
