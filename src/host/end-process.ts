import koffi from "koffi";

/** How long the threads may take to end, in seconds. */
const THREADS_TIMEOUT_S = 2;

/**
 * Ends the process, also when a thread is in a call on a dead disk: `process.exit` waits for every thread, and such a
 * one never ends. Then the kernel ends it, with SIGALRM.
 */
export function endProcess(status: number): never {
  koffi.load("libc.so.6").func("uint alarm(uint)")(THREADS_TIMEOUT_S);
  process.exit(status);
}
