import { closeSync, constants as fs, fstatSync, openSync, readFileSync } from "node:fs";
import { attempt, SyscallError } from "./libc.ts";

/**
 * `Files.readText` and `readTexts`, and what procfs tells. By promises it would be five wake-ups of another thread for
 * each file, which is most of the time that a Mount takes.
 */
export function readTexts(
  paths: readonly string[],
  limitBytes: number,
): readonly (string | undefined)[] {
  return paths.map((path) => {
    try {
      return attempt("read", path, () => readText(path, limitBytes));
    } catch (thrown) {
      const errno = thrown instanceof SyscallError ? thrown.errno : undefined;
      if (errno === "ENOENT" || errno === "ENOTDIR") return undefined;
      throw thrown;
    }
  });
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
