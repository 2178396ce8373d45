import { Failure } from "../core/failure.ts";
import type { Context } from "./context.ts";
import { EXIT_CODE, USAGE_EXIT_CODE, UsageError } from "./exit-code.ts";
import { printable } from "./printable.ts";

/**
 * Does `work` for each of `targets`, one after the other. One that fails is told and keeps none of the others; the
 * command ends with the code of the first.
 */
export async function forEachTarget(
  context: Context,
  targets: readonly string[],
  work: (target: string) => Promise<void>,
): Promise<void> {
  for (const target of targets) {
    try {
      await work(target);
    } catch (thrown) {
      tellFailure(context, thrown);
    }
  }
}

/** Says a failure on standard error and sets the exit code. */
export function tellFailure(context: Context, thrown: unknown): void {
  if (thrown instanceof UsageError) {
    context.err(`lagan: ${thrown.message}\n`);
    context.exit(USAGE_EXIT_CODE);
    return;
  }
  const failure = Failure.from(thrown);
  const why = failure.code === "internal" && failure.cause instanceof Error;
  const message = why ? `${failure.message}: ${String(failure.cause)}` : failure.message;
  context.err(`lagan: ${printable(message)}\n`);
  context.exit(EXIT_CODE[failure.code]);
}
