import { closeSync, fchmodSync, fchownSync, constants as fs, mkdirSync, openSync } from "node:fs";
import type { FileStep } from "../core/ports/files.ts";
import type { RootOwner } from "../core/ports/storage-driver.ts";
import { attempt, renameNoReplace } from "./libc.ts";
import { writeNote } from "./syscalls-text.ts";
import { makeDirectoryLike } from "./tree-copy.ts";

/** `Files.perform`. In one thread: by promises each step would be several wake-ups of another one. */
export function performSteps(steps: readonly FileStep[]): void {
  for (const step of steps) performStep(step);
}

function performStep(step: FileStep): void {
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
