import { constants as fs, fstatSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import type { FrozenImage } from "../core/ports/kernel.ts";
import {
  attempt,
  errnoOfCall,
  ioctlNumber,
  SyscallError,
  syncFileSystem,
  withFile,
} from "./libc.ts";
import { monotonicMs } from "./monotonic.ts";
import { cloneFile } from "./syscalls-mount.ts";

// linux/fs.h (6.1)
const FIFREEZE = 0xc0045877;
const FITHAW = 0xc0045878;

/** Writes out what a file system has in memory. A freeze does that too, while writers wait: so it is done before. */
export function syncFileSystemOf(path: string): void {
  withFile("write out", path, fs.O_RDONLY | fs.O_DIRECTORY, (fd) => syncFileSystem(fd, path));
}

/**
 * `Kernel.cloneFrozen`, with nothing between freeze, clone and thaw that could wait for another thread.
 *
 * @param freezeBeforeMs See {@link withThawKeepers}.
 */
export function cloneFrozen(images: readonly FrozenImage[], freezeBeforeMs: number): number {
  const cloned: string[] = [];
  try {
    return freezeAll(images, freezeBeforeMs, () => {
      for (const { source, target } of images) {
        cloneFile(source, target);
        cloned.push(target);
      }
    });
  } catch (thrown) {
    for (const target of cloned) rmSync(target, { force: true });
    throw thrown;
  }
}

/** Does `work` while the file systems of all images are frozen; answers for how long the first one was, in milliseconds. */
function freezeAll(
  [image, ...others]: readonly FrozenImage[],
  freezeBeforeMs: number,
  work: () => void,
): number {
  if (image === undefined) {
    work();
    return 0;
  }
  const { frozen, target } = image;
  if (frozen === null) return freezeAll(others, freezeBeforeMs, work);
  return withFile("freeze", frozen, fs.O_RDONLY | fs.O_DIRECTORY, (fd) => {
    const { dev } = attempt("clone to", target, () => statSync(dirname(target)));
    if (fstatSync(fd).dev === dev) {
      const why = `the file system of ${frozen} would be frozen, and it is on it`;
      throw new SyscallError("clone to", target, "EINVAL", { why });
    }
    if (monotonicMs() >= freezeBeforeMs) {
      const meaning = { code: "deadline_exceeded", why: "this machine is too busy" } as const;
      throw new SyscallError("freeze", frozen, "ETIME", meaning);
    }
    const from = performance.now();
    ioctlNumber(fd, FIFREEZE, 0, "freeze", frozen);
    let done = false;
    try {
      freezeAll(others, freezeBeforeMs, work);
      done = true;
    } finally {
      thawAfter(fd, frozen, { done, target });
    }
    return performance.now() - from;
  });
}

/** Thaws; when that was done already, what was cloned meanwhile is of no one instant. */
function thawAfter(
  fd: number,
  frozen: string,
  { done, target }: { readonly done: boolean; readonly target: string },
): void {
  try {
    ioctlNumber(fd, FITHAW, 0, "thaw", frozen);
  } catch (thrown) {
    if (errnoOfCall(thrown) !== "EINVAL") throw thrown;
    if (!done) return;
    const why = `it had to be thawed too early for ${target}`;
    throw new SyscallError("keep frozen", frozen, "EINVAL", { code: "deadline_exceeded", why });
  }
}

/** `Kernel.thaw`. */
export function thaw(path: string): void {
  withFile("thaw", path, fs.O_RDONLY | fs.O_DIRECTORY, (fd) => {
    try {
      ioctlNumber(fd, FITHAW, 0, "thaw", path);
    } catch (thrown) {
      // EINVAL: it is not frozen. EOPNOTSUPP: it never could be.
      if (!["EINVAL", "EOPNOTSUPP"].includes(errnoOfCall(thrown) ?? "")) throw thrown;
    }
  });
}
