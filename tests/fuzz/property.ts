import assert from "node:assert/strict";
import type fc from "fast-check";
import { UsageError } from "../../src/cli/exit-code.ts";
import { Failure } from "../../src/core/failure.ts";

/** What holds of a parser for every input. */
export type Property = fc.IProperty<[unknown, ...unknown[]]> | fc.IProperty<[unknown]>;

/** With what a parser may refuse. */
const CODES: readonly string[] = [
  "invalid_argument",
  "out_of_range",
  "data_loss",
  "unknown",
  "unimplemented",
];

/** What `parse` makes of an input; undefined when it refuses as it may: with a Failure that fits in a log line. */
export function parsed<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch (thrown) {
    if (thrown instanceof UsageError) return undefined;
    assert(thrown instanceof Failure, `not a Failure: ${String(thrown)}`);
    assert(CODES.includes(thrown.code));
    assert.match(thrown.message, /^[^\p{Cc}\p{Cs}\u200b-\u200f\u2028-\u202f\ufeff]+$/u);
    assert(thrown.message.length < 3000, "a message of no end");
    return undefined;
  }
}
