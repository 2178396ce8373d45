import { constants as fs, type Stats } from "node:fs";
import {
  type FileHandle,
  lchown,
  lstat,
  mkdir,
  open,
  readdir,
  rename,
  rmdir,
  stat,
  unlink,
} from "node:fs/promises";
import { basename, dirname } from "node:path";
import { Failure } from "../core/failure.ts";
import type { FileStat, Files } from "../core/ports/files.ts";
import { DirectoryWatches } from "./directory-watches.ts";
import { errnoOf, failureOfErrno } from "./errno.ts";
import { removeTrees } from "./remove-tree.ts";
import { syscallThreads } from "./syscall-threads.ts";
import { copyTree, measureTree } from "./tree-threads.ts";

/** Largest text that is read, in bytes. */
const TEXT_LIMIT_BYTES = 16 * 1024 ** 2;
/** How many texts a thread reads before others get their turn. */
const READ_BATCH = 1_000;
/** How a file or directory is opened to look at it: nobody is waited for, should it be a FIFO or a device. */
const LOOK = fs.O_RDONLY | fs.O_NONBLOCK | fs.O_NOFOLLOW;
const DIRECTORY = fs.O_RDONLY | fs.O_DIRECTORY | fs.O_NOFOLLOW;
const NEW = fs.O_WRONLY | fs.O_CREAT | fs.O_EXCL | fs.O_NOFOLLOW;

/** The last write of each path that is being written. */
const writing = new Map<string, Promise<void>>();
const watches = new DirectoryWatches();

/** This machine's files. Made durable by fsync of the file and of its directory. */
export const hostFiles: Files = {
  stat: (path) =>
    absentIsUndefined(() => call("stat", path, async () => statOf(await lstat(path)))),

  readText: async (path) => (await syscallThreads.call("readTexts", [path], TEXT_LIMIT_BYTES))[0],

  readTexts: (paths) =>
    inBatches(paths, (some) => syscallThreads.call("readTexts", some, TEXT_LIMIT_BYTES)),

  readNotes: (paths) =>
    inBatches(paths, (some) => syscallThreads.call("readNotes", some, TEXT_LIMIT_BYTES)),

  writeText: async (path, text) => {
    // One after the other: they share the name of the new file, so that what a crash leaves is overwritten.
    const before = writing.get(path);
    const mine = (async () => {
      await before?.catch(() => undefined);
      await replaceText(path, text);
      await syncParent(path);
    })();
    writing.set(path, mine);
    try {
      await mine;
    } finally {
      if (writing.get(path) === mine) writing.delete(path);
    }
  },

  list: (path) =>
    withOpen("list", path, DIRECTORY, async ({ fd }) =>
      (await readdir(`/proc/self/fd/${fd}`)).sort(),
    ),

  makeDirectory: (path, { mode, uid, gid }) =>
    call("make directory", path, async () => {
      await mkdir(path, { mode: 0o700 });
      // Always: a set-group-id parent gives its group. Before the mode: chown takes set-id bits away.
      await lchown(path, uid ?? 0, gid ?? 0);
      await hostFiles.setMode(path, mode);
    }),

  ensureDirectory: async (path, { mode }) => {
    const found = await hostFiles.stat(path);
    if (found === undefined) await makeMissing(path, mode);
    else if (found.kind !== "directory") throw failureOfErrno("make directory", path, "EEXIST");
    // Also when it was there: whoever made it may have died before this.
    await hostFiles.syncDirectory(path);
    await syncParent(path);
  },

  rename: async (from, to, { syncNames = true } = {}) => {
    await syscallThreads.call("renameNoReplace", from, to);
    if (!syncNames) return;
    // The new name first: a power cut in between may leave both, never none.
    await syncParent(to);
    if (dirname(from) !== dirname(to)) await syncParent(from);
  },

  syncDirectory: (path) => withOpen("sync", path, DIRECTORY, (directory) => directory.sync()),

  setOwner: (path, { uid, gid }) =>
    withOpen("set owner of", path, LOOK, (file) => file.chown(uid, gid)),

  setMode: (path, mode) => withOpen("set mode of", path, LOOK, (file) => file.chmod(mode)),

  createSparse: async (path, sizeBytes) => {
    await withOpen("create", path, NEW, async (file) => {
      try {
        await file.truncate(sizeBytes);
        await file.sync();
      } catch (thrown) {
        await unlink(path);
        throw thrown;
      }
    });
    await syncParent(path);
  },

  remove: async (path) => {
    const found = await hostFiles.stat(path);
    if (found === undefined) return;
    const gone = found.kind === "directory" ? rmdir : unlink;
    await call("remove", path, () => gone(path)).catch(absentIsSuccess);
    await syncParent(path).catch(absentIsSuccess);
  },

  removeTree: async (path, signal) => {
    signal.throwIfAborted();
    if ((await hostFiles.stat(path)) === undefined) return;
    await call("remove", path, () => removeTrees([path], signal));
    await syncParent(path);
  },

  removeTrees: (paths, signal) => call("remove", paths[0] ?? "", () => removeTrees(paths, signal)),

  copyTree: async (source, target, signal, progress) => {
    await copyTree(source, target, signal, progress);
    await syncParent(target);
  },

  measureTree,
  makeDirectoryLike: (path, model) => syscallThreads.call("makeDirectoryLike", path, model),
  isUntouchedLike: (path, model) => syscallThreads.call("isUntouchedLike", path, model),
  isUnchanged: (path) => watches.isUnchanged(path),
  perform: async (steps) => {
    if (steps.some((step) => step.do === "watch")) await watches.perform(steps);
    else await syscallThreads.call("performSteps", steps);
  },
  syncFileSystem: (path) => shared(path, () => syscallThreads.call("syncFileSystemOf", path)),
};

/** So that others get their turn in between. */
async function inBatches<T>(
  paths: readonly string[],
  read: (some: readonly string[]) => Promise<readonly T[]>,
): Promise<readonly T[]> {
  const found: T[] = [];
  for (let start = 0; start < paths.length; start += READ_BATCH) {
    found.push(...(await read(paths.slice(start, start + READ_BATCH))));
  }
  return found;
}

/** By path, the round that has not begun yet: who asks meanwhile may not take the one under way, which may have passed it. */
const rounds = new Map<string, { running: Promise<void>; next: Promise<void> | undefined }>();

/** Does `work`, once for all who ask while the last one is under way. */
function shared(path: string, work: () => Promise<void>): Promise<void> {
  const round = rounds.get(path);
  if (round !== undefined) {
    round.next ??= round.running.then(
      () => shared(path, work),
      () => shared(path, work),
    );
    return round.next;
  }
  const running = work().finally(() => rounds.delete(path));
  rounds.set(path, { running, next: undefined });
  return running;
}

async function replaceText(path: string, text: string): Promise<void> {
  const fresh = `${dirname(path)}/.${basename(path)}.new`;
  await call("write", path, async () => {
    // What a writer that died has left, perhaps.
    await unlinkIfThere(fresh);
    const file = await open(fresh, NEW, 0o600);
    try {
      try {
        await file.writeFile(text);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(fresh, path);
    } catch (thrown) {
      await unlinkIfThere(fresh);
      throw thrown;
    }
  });
}

async function unlinkIfThere(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (thrown) {
    if (errnoOf(thrown) !== "ENOENT") throw thrown;
  }
}

/** Makes a directory and its missing parents, which may be links to directories. */
async function makeMissing(path: string, mode: number): Promise<void> {
  const parent = dirname(path);
  const there = await absentIsUndefined(() => call("make directory", path, () => stat(parent)));
  if (there === undefined) await hostFiles.ensureDirectory(parent, { mode: 0o755 });
  try {
    await hostFiles.makeDirectory(path, { mode });
  } catch (thrown) {
    // Somebody else made it meanwhile, which is as good.
    if ((await hostFiles.stat(path))?.kind !== "directory") throw thrown;
  }
}

/** Makes the entry `path` of its directory durable, or its absence. */
function syncParent(path: string): Promise<void> {
  // The slash: a parent may be a link to a directory.
  return withOpen("sync", `${dirname(path)}/`, DIRECTORY, (directory) => directory.sync());
}

function statOf(stats: Stats): FileStat {
  return {
    kind: kindOf(stats),
    sizeBytes: stats.size,
    allocatedBytes: stats.blocks * 512,
    mode: stats.mode & 0o7777,
    uid: stats.uid,
    gid: stats.gid,
    device: stats.dev,
    inode: stats.ino,
  };
}

function kindOf(stats: Stats): FileStat["kind"] {
  if (stats.isFile()) return "file";
  if (stats.isDirectory()) return "directory";
  return stats.isSymbolicLink() ? "symlink" : "other";
}

/** Opens, works, closes. A new file has mode 0600. */
async function withOpen<T>(
  what: string,
  path: string,
  flags: number,
  work: (file: FileHandle) => Promise<T>,
): Promise<T> {
  return call(what, path, async () => {
    const file = await open(path, flags, 0o600);
    try {
      return await work(file);
    } finally {
      await file.close();
    }
  });
}

/** Turns what Node throws into a `Failure`; a `Failure` passes. */
async function call<T>(what: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const errno = errnoOf(cause);
    if (cause instanceof Failure || errno === undefined) throw cause;
    throw failureOfErrno(what, path, errno, { cause });
  }
}

/** A path below something that is no directory is absent too. */
async function absentIsUndefined<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (thrown) {
    if (isAbsence(thrown)) return undefined;
    throw thrown;
  }
}

function absentIsSuccess(thrown: unknown): void {
  if (!isAbsence(thrown)) throw thrown;
}

function isAbsence(thrown: unknown): boolean {
  if (!(thrown instanceof Failure)) return false;
  return thrown.code === "not_found" || errnoOf(thrown.cause) === "ENOTDIR";
}
