import type { Context } from "./context.ts";
import { UsageError } from "./exit-code.ts";

/**
 * Asks a person to say yes.
 *
 * @throws {UsageError} when nobody can be asked.
 */
export async function confirm(context: Context, question: string): Promise<boolean> {
  if (!context.terminal.interactive) {
    throw new UsageError("Cannot ask for confirmation: this is not a terminal; give --force");
  }
  const { createInterface } = await import("node:readline/promises");
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await lines.question(`${question} [y/N] `)).trim());
  } finally {
    lines.close();
  }
}
