import {
  closeSync,
  constants as fs,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeSync,
} from "node:fs";
import { basename, dirname } from "node:path";
import { errnoOf } from "./errno.ts";
import { attempt, SyscallError } from "./libc.ts";

/** Longest target of a link that all of ext4, XFS and btrfs keep; XFS has the least. */
const NOTE_LIMIT_BYTES = 1_000;

/**
 * `Files.readText` and `readTexts`, and what procfs tells. By promises it would be five wake-ups of another thread for
 * each file, which is most of the time that a Mount takes.
 */
export function readTexts(
  paths: readonly string[],
  limitBytes: number,
): readonly (string | undefined)[] {
  return readAll(paths, (path) => readText(path, limitBytes));
}

/** `Files.readNotes`. */
export function readNotes(
  paths: readonly string[],
  limitBytes: number,
): readonly (string | undefined)[] {
  return readAll(paths, (path) => readLink(path) ?? readText(path, limitBytes));
}

/**
 * A note, in one step. What is too long for one becomes a file: then the disk is waited for, so that it is as whole.
 *
 * @param fresh Nothing is there yet.
 */
export function writeNote(path: string, text: string, fresh: boolean): void {
  attempt("write", path, () => {
    if (fresh) return makeNote(path, text);
    const next = `${dirname(path)}/.${basename(path)}.new`;
    // What a writer that died has left, perhaps.
    rmSync(next, { force: true });
    makeNote(next, text);
    renameSync(next, path);
  });
}

function makeNote(path: string, text: string): void {
  if (Buffer.byteLength(text) <= NOTE_LIMIT_BYTES) {
    symlinkSync(text, path);
    return;
  }
  const fd = openSync(path, fs.O_WRONLY | fs.O_CREAT | fs.O_EXCL | fs.O_NOFOLLOW, 0o600);
  try {
    writeSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function readAll(
  paths: readonly string[],
  read: (path: string) => string,
): readonly (string | undefined)[] {
  return paths.map((path) => {
    try {
      return attempt("read", path, () => read(path));
    } catch (thrown) {
      const errno = thrown instanceof SyscallError ? thrown.errno : undefined;
      if (errno === "ENOENT" || errno === "ENOTDIR") return undefined;
      throw thrown;
    }
  });
}

/** Undefined where no link is. */
function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (thrown) {
    if (errnoOf(thrown) === "EINVAL") return undefined;
    throw thrown;
  }
}

function readText(path: string, limitBytes: number): string {
  const fd = openSync(path, fs.O_RDONLY | fs.O_NONBLOCK | fs.O_NOFOLLOW);
  try {
    const { size } = fstatSync(fd);
    if (size > limitBytes) {
      const why = `it has ${size} bytes, at most ${limitBytes} are read`;
      throw new SyscallError("read", path, "EFBIG", { code: "resource_exhausted", why });
    }
    return readFileSync(fd, "utf8");
  } finally {
    closeSync(fd);
  }
}
