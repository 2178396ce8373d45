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
  unlink,
} from "node:fs/promises";
import { dirname } from "node:path";
import { Failure } from "../core/failure.ts";
import type { FileStat, Files } from "../core/ports/files.ts";
import { errnoOf, failureOfErrno } from "./errno.ts";
import { hostExec } from "./exec.ts";
import { syscallThreads } from "./syscall-threads.ts";

/** Largest text that is read, in bytes. */
const TEXT_LIMIT_BYTES = 16 * 1024 ** 2;
/** Longest removal of a tree, in milliseconds: a day. */
const REMOVE_TREE_TIMEOUT_MS = 86_400_000;

let temporaries = 0;

/** This machine's files. Made durable by fsync of the file and of its directory. */
export const hostFiles: Files = {
  stat: (path) =>
    absentIsUndefined(async () => statOf(await call("stat", path, () => lstat(path)))),

  readText: (path) =>
    absentIsUndefined(() =>
      withOpen("read", path, fs.O_RDONLY, async (file) => {
        const { size } = await file.stat();
        if (size > TEXT_LIMIT_BYTES) {
          throw new Failure(
            "resource_exhausted",
            `Cannot read ${path}: it has ${size} bytes, at most ${TEXT_LIMIT_BYTES} are read`,
          );
        }
        return file.readFile("utf8");
      }),
    ),

  writeText: async (path, text) => {
    const fresh = `${path}.${process.pid}.${++temporaries}.tmp`;
    try {
      await withOpen("write", fresh, fs.O_WRONLY | fs.O_CREAT | fs.O_EXCL, async (file) => {
        await file.writeFile(text);
        await file.sync();
      });
      await call("write", path, () => rename(fresh, path));
    } catch (thrown) {
      await unlink(fresh).catch(() => undefined);
      throw thrown;
    }
    await hostFiles.syncDirectory(dirname(path));
  },

  list: async (path) => (await call("list", path, () => readdir(path))).sort(),

  makeDirectory: (path, { mode, uid, gid }) =>
    call("make directory", path, async () => {
      await mkdir(path, { mode: 0o700 });
      // Owner before mode: chown takes set-id bits away.
      if (uid !== undefined || gid !== undefined) await lchown(path, uid ?? 0, gid ?? 0);
      await hostFiles.setMode(path, mode);
    }),

  ensureDirectory: async (path, { mode }) => {
    const found = await hostFiles.stat(path);
    if (found?.kind === "directory") return;
    if (found !== undefined) throw failureOfErrno("make directory", path, "EEXIST");
    if (dirname(path) !== path) await hostFiles.ensureDirectory(dirname(path), { mode: 0o755 });
    try {
      await hostFiles.makeDirectory(path, { mode });
    } catch (thrown) {
      // Somebody else made it meanwhile, which is as good.
      if ((await hostFiles.stat(path))?.kind !== "directory") throw thrown;
    }
    await hostFiles.syncDirectory(path);
    await hostFiles.syncDirectory(dirname(path));
  },

  rename: async (from, to) => {
    await syscallThreads.call("renameNoReplace", from, to);
    await hostFiles.syncDirectory(dirname(to));
    if (dirname(from) !== dirname(to)) await hostFiles.syncDirectory(dirname(from));
  },

  syncDirectory: (path) =>
    withOpen("sync", path, fs.O_RDONLY | fs.O_DIRECTORY, (directory) => directory.sync()),

  setOwner: (path, { uid, gid }) =>
    withOpen("set owner of", path, fs.O_RDONLY | fs.O_NONBLOCK, (file) => file.chown(uid, gid)),

  setMode: (path, mode) =>
    withOpen("set mode of", path, fs.O_RDONLY | fs.O_NONBLOCK, (file) => file.chmod(mode)),

  createSparse: async (path, sizeBytes) => {
    await withOpen("create", path, fs.O_WRONLY | fs.O_CREAT | fs.O_EXCL, async (file) => {
      try {
        await file.truncate(sizeBytes);
        await file.sync();
      } catch (thrown) {
        await unlink(path);
        throw thrown;
      }
    });
    await hostFiles.syncDirectory(dirname(path));
  },

  remove: async (path) => {
    const found = await hostFiles.stat(path);
    if (found === undefined) return;
    const gone = found.kind === "directory" ? rmdir : unlink;
    await call("remove", path, () => gone(path)).catch(absentIsSuccess);
    await hostFiles.syncDirectory(dirname(path)).catch(absentIsSuccess);
  },

  removeTree: async (path, signal) => {
    signal.throwIfAborted();
    if ((await hostFiles.stat(path)) === undefined) return;
    // rm(1) walks by descriptors: what is renamed under it cannot lead it out of the tree.
    const { code, stderr } = await hostExec.run(
      ["rm", "-rf", "--one-file-system", "--", path],
      { timeoutMs: REMOVE_TREE_TIMEOUT_MS },
      signal,
    );
    if (code !== 0) {
      const why = stderr.trim().split("\n")[0] ?? "";
      throw new Failure("failed_precondition", `Cannot remove ${path}: ${why}`);
    }
    await hostFiles.syncDirectory(dirname(path));
  },
};

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

/** Opens without following a link, works, closes. A new file has mode 0600. */
async function withOpen<T>(
  what: string,
  path: string,
  flags: number,
  work: (file: FileHandle) => Promise<T>,
): Promise<T> {
  return call(what, path, async () => {
    const file = await open(path, flags | fs.O_NOFOLLOW, 0o600);
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

async function absentIsUndefined<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (thrown) {
    if (thrown instanceof Failure && thrown.code === "not_found") return undefined;
    throw thrown;
  }
}

function absentIsSuccess(thrown: unknown): void {
  if (!(thrown instanceof Failure) || thrown.code !== "not_found") throw thrown;
}
