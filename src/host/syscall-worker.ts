import { flushCompileCache } from "node:module";
import { parentPort } from "node:worker_threads";
import { invariant } from "../core/failure.ts";
import { errnoOf } from "./errno.ts";
import { SyscallError } from "./libc.ts";
import type { SyscallAnswer, SyscallRequest } from "./syscall-message.ts";
import * as syscalls from "./syscalls.ts";

const port = parentPort;
invariant(port !== null, "this file runs as a worker thread");

port.on("message", (request: SyscallRequest) => {
  port.postMessage(answer(request));
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
