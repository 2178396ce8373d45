import type { Progress, TreeBytes } from "../core/ports/files.ts";
import { SyscallThreads } from "./syscall-threads.ts";

/** Most trees that are copied at once, most that are counted, and most that are removed; more wait. */
const TREE_LIMIT = 4;
/** A file with several names is remembered until all of them are found: so much memory for a million of them. */
const HEAP_MB = 512;
const IDLE_MS = 5_000;
/** Longer: where containers come and go there is something to remove every few seconds, and a thread's start is dear. */
const REMOVAL_IDLE_MS = 30_000;
/** How often it is told how far a copy is, in milliseconds. */
const PROGRESS_MS = 200;

/** Threads of their own: a walk takes long, and other calls must not wait for it, nor a count for a copy. */
const walking = { limit: TREE_LIMIT, depth: 1, idleMs: IDLE_MS };
const copying = new SyscallThreads({ ...walking, heapMb: HEAP_MB });
const counting = new SyscallThreads({ ...walking, heapMb: HEAP_MB });
const removing = new SyscallThreads({ ...walking, idleMs: REMOVAL_IDLE_MS, keepsOne: false });

/** Copies the tree at `source` as `Files.copyTree` says, but for the durability of the target's own name. */
export async function copyTree(
  source: string,
  target: string,
  signal: AbortSignal,
  progress?: Progress,
): Promise<void> {
  const copied = new BigInt64Array(new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT));
  const tell = setInterval(() => progress?.(Number(Atomics.load(copied, 0))), PROGRESS_MS);
  tell.unref();
  try {
    await untilStopped(signal, (stop) => copying.call("copyTree", source, target, stop, copied));
  } finally {
    clearInterval(tell);
  }
}

/** `Files.measureTree`. */
export function measureTree(path: string, signal: AbortSignal): Promise<TreeBytes> {
  return untilStopped(signal, (stop) => counting.call("measureTree", path, stop));
}

/** `removeTrees` of tree-removal.ts. */
export function removeTreesInThread(
  paths: readonly string[],
  signal: AbortSignal,
): Promise<number> {
  return untilStopped(signal, (stop) => removing.call("removeTrees", paths, stop));
}

/** Rejects after an abort only when the thread does nothing any more. */
async function untilStopped<T>(
  signal: AbortSignal,
  work: (stop: Int32Array) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const stop = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  const abort = (): void => {
    Atomics.store(stop, 0, 1);
  };
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await work(stop);
  } catch (thrown) {
    signal.throwIfAborted();
    throw thrown;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
