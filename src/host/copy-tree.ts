import { SyscallThreads } from "./syscall-threads.ts";

/** Most trees that are copied at once; more wait. */
const COPY_LIMIT = 4;
/** A file with several names is remembered until all of them are found: so much memory for a million of them. */
const HEAP_MB = 512;
const IDLE_MS = 5_000;

/** Threads of their own: a copy takes long, and other calls must not wait for it. */
const threads = new SyscallThreads({ limit: COPY_LIMIT, idleMs: IDLE_MS, heapMb: HEAP_MB });

/** Copies the tree at `source` as `Files.copyTree` says, but for the durability of the target's own name. */
export async function copyTree(source: string, target: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const stop = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  const abort = (): void => {
    Atomics.store(stop, 0, 1);
  };
  signal.addEventListener("abort", abort, { once: true });
  try {
    await threads.call("copyTree", source, target, stop);
  } catch (thrown) {
    // Only now, when nobody writes to the target any more.
    signal.throwIfAborted();
    throw thrown;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
