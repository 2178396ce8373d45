import {
  closeSync,
  fchmodSync,
  fchownSync,
  constants as fs,
  fstatSync,
  mkdirSync,
  openSync,
} from "node:fs";
import type { FileStep } from "../core/ports/files.ts";
import type { RootOwner } from "../core/ports/storage-driver.ts";
import { attempt, giveWay, renameNoReplace } from "./libc.ts";
import { writeNote } from "./syscalls-text.ts";
import { unwatch, watchDirectory } from "./syscalls-watch.ts";
import { makeDirectoryLike } from "./tree-copy.ts";

/**
 * `Files.perform`. In one thread: by promises each step would be several wake-ups of another one. Between the steps it gives way:
 * what is made beside a write of the store must not hold up that write. Answers the watches of the steps that watch, in their
 * order; -1 for one that could not.
 *
 * @param watcher With what they watch: `openWatcher`.
 * @param ended Watches that are to end first.
 */
export function performSteps(
  steps: readonly FileStep[],
  watcher?: number,
  ended: readonly number[] = [],
): readonly number[] {
  if (watcher !== undefined) for (const watch of ended) unwatch(watcher, watch);
  const watches: number[] = [];
  let givesWay = true;
  for (const [nth, step] of steps.entries()) {
    if (nth > 0 && givesWay) givesWay = giveWay();
    if (step.do !== "watch") performStep(step);
    else watches.push(watcher === undefined ? -1 : watchDirectory(watcher, step.path));
  }
  return watches;
}

function performStep(step: Exclude<FileStep, { readonly do: "watch" }>): void {
  switch (step.do) {
    case "makeDirectory": {
      const { path, mode, uid = 0, gid = 0 } = step;
      // Never with more than these bits: those that the umask takes, and set-id bits, come with the owner.
      attempt("make directory", path, () => mkdirSync(path, { mode }));
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
      const found = fstatSync(fd);
      const owned = found.uid === uid && found.gid === gid;
      if (!owned) fchownSync(fd, uid, gid);
      // After the owner: chown takes set-id bits away.
      if (!owned || (found.mode & 0o7777) !== mode) fchmodSync(fd, mode);
    } finally {
      closeSync(fd);
    }
  });
}
