/** What a finished command left. */
export interface ExecResult {
  /** Exit status; 128 + signal number when a signal ended it. */
  readonly code: number;
  /** UTF-8, invalid bytes replaced; cut at {@link EXEC_OUTPUT_LIMIT_BYTES}. */
  readonly stdout: string;
  readonly stderr: string;
}

/** Most that is kept of each of a command's two outputs, in bytes. The rest is read and thrown away. */
export const EXEC_OUTPUT_LIMIT_BYTES: number = 1024 ** 2;

/**
 * Runs commands: an argument vector, never a shell string. Held by `tests/conformance/exec.ts`.
 *
 * 1. A command that exits with any status resolves: the status is the caller's to judge.
 * 2. A command that is not installed: `failed_precondition`, naming it.
 * 3. Past `timeoutMs` the command and its children are killed: `deadline_exceeded`.
 * 4. An abort kills them likewise and rejects with `signal.reason`.
 * 5. Arguments arrive byte for byte: no shell, no globbing, no environment expansion.
 * 6. The environment is `LC_ALL=C` and PATH only; standard input is empty.
 */
export interface Exec {
  run(
    argv: readonly [string, ...string[]],
    options: { readonly timeoutMs: number },
    signal: AbortSignal,
  ): Promise<ExecResult>;
}
