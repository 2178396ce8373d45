import type { FailureCode } from "../core/failure.ts";

/** The calls of `syscalls.ts` by name. */
export type Syscalls = typeof import("./syscalls.ts");

/** What a syscall thread is asked. */
export interface SyscallRequest {
  readonly name: keyof Syscalls;
  readonly args: readonly unknown[];
}

/** What it answers. A failure is data: classes do not survive the way between threads. */
export type SyscallAnswer = { readonly value: unknown } | SyscallFailure;

/** A `SyscallError`. */
export interface SyscallFailure {
  readonly call: string;
  readonly path: string;
  readonly errno: string;
  readonly code: FailureCode | undefined;
  readonly why: string | undefined;
}
