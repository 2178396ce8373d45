import { flushCompileCache } from "node:module";
import { parentPort, workerData } from "node:worker_threads";
import { invariant } from "../core/failure.ts";
import { errnoOf } from "./errno.ts";
import { neverPreempt, SyscallError } from "./libc.ts";
import type { SyscallAnswer, SyscallRequest } from "./syscall-message.ts";
import * as syscalls from "./syscalls.ts";

const port = parentPort;
invariant(port !== null, "this file runs as a worker thread");

// The event loop goes on when it has given us work.
neverPreempt();

/** As `SyscallThread` says. */
const begun = workerData as Int32Array;
let number = 0;

port.on("message", (request: SyscallRequest) => {
  const last = number;
  number = (last + 1) | 0;
  // Another number: this call was taken back.
  if (Atomics.compareExchange(begun, 0, last, number) === last) port.postMessage(answer(request));
});
flushCompileCache();

function answer({ name, args }: SyscallRequest): SyscallAnswer {
  // biome-ignore lint/performance/noDynamicNamespaceImportAccess: nothing here is bundled.
  const call = syscalls[name] as (...given: readonly unknown[]) => unknown;
  try {
    return { value: call(...args) };
  } catch (thrown) {
    if (thrown instanceof SyscallError) {
      const { call, path, errno, code, why } = thrown;
      return { call, path, errno, code, why };
    }
    const errno = errnoOf(thrown);
    if (errno === undefined) throw thrown;
    return { call: name, path: String(args[0]), errno, code: undefined, why: undefined };
  }
}
