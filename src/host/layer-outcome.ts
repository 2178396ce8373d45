import type { FailureCode } from "../core/failure.ts";
import { Failure } from "../core/failure.ts";
import { errnoOf, failureOfErrno } from "./errno.ts";
import { SyscallError } from "./libc.ts";

/** How work on a layer ended in its thread; as data, because classes do not survive the way between threads. */
export type LayerOutcome<T> =
  | { readonly value: T }
  | { readonly failure: { readonly code: FailureCode; readonly message: string } }
  /** The pipe was closed. */
  | { readonly stopped: true };

/** Thrown in the thread when the pipe is closed. */
export class PipeClosed extends Error {}

/** Does the work, and makes what it throws an outcome. @param doing "apply the layer". */
export function outcomeOf<T>(doing: string, work: () => T): LayerOutcome<T> {
  try {
    return { value: work() };
  } catch (thrown) {
    if (thrown instanceof PipeClosed) return { stopped: true };
    const { code, message } = failureOf(doing, thrown);
    return { failure: { code, message } };
  }
}

function failureOf(doing: string, thrown: unknown): Failure {
  if (thrown instanceof Failure) {
    const message = thrown.message.replace(/^Cannot unpack the archive: /, `Cannot ${doing}: `);
    return new Failure(thrown.code, message);
  }
  if (thrown instanceof SyscallError) {
    return failureOfErrno(`${doing}: cannot ${thrown.call}`, thrown.path, thrown.errno);
  }
  const errno = errnoOf(thrown);
  if (errno === undefined) throw thrown;
  return failureOfErrno(doing, "it", errno);
}
