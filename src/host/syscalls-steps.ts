import { closeSync, fchmodSync, fchownSync, constants as fs, mkdirSync, openSync } from "node:fs";
import type { FileStep } from "../core/ports/files.ts";
import type { RootOwner } from "../core/ports/storage-driver.ts";
import { attempt, renameNoReplace } from "./libc.ts";
import { writeNote } from "./syscalls-text.ts";
import { unwatch, watchDirectory } from "./syscalls-watch.ts";
import { makeDirectoryLike } from "./tree-copy.ts";

/** With what the steps watch; see `DirectoryWatches`. */
interface Watcher {
  readonly fd: number;
  /** Watches that are to end first. */
  readonly ended: readonly number[];
}

/**
 * `Files.perform`. In one thread: by promises each step would be several wake-ups of another one. Answers which paths are watched
 * now, by which watches.
 */
export function performSteps(
  steps: readonly FileStep[],
  watcher?: Watcher,
): readonly (readonly [string, number])[] {
  if (watcher !== undefined) for (const watch of watcher.ended) unwatch(watcher.fd, watch);
  const watched: [string, number][] = [];
  for (const step of steps) {
    if (step.do !== "watch") performStep(step);
    else if (watcher !== undefined) {
      const watch = watchDirectory(watcher.fd, step.path);
      if (watch !== undefined) watched.push([step.path, watch]);
    }
  }
  return watched;
}

function performStep(step: Exclude<FileStep, { readonly do: "watch" }>): void {
  switch (step.do) {
    case "makeDirectory": {
      const { path, mode, uid = 0, gid = 0 } = step;
      attempt("make directory", path, () => mkdirSync(path, { mode: 0o700 }));
      setOwner(path, { uid, gid, mode });
      return;
    }
    case "setOwner":
      setOwner(step.path, step);
      return;
    case "makeDirectoryLike":
      makeDirectoryLike(step.path, step.model);
      return;
    case "writeNote":
      writeNote(step.path, step.text, step.fresh === true);
      return;
    case "rename":
      renameNoReplace(step.from, step.to);
      return;
  }
}

function setOwner(path: string, { uid, gid, mode }: RootOwner): void {
  attempt("set owner of", path, () => {
    const fd = openSync(path, fs.O_RDONLY | fs.O_DIRECTORY | fs.O_NOFOLLOW);
    try {
      fchownSync(fd, uid, gid);
      // After the owner: chown takes set-id bits away.
      fchmodSync(fd, mode);
    } finally {
      closeSync(fd);
    }
  });
}
