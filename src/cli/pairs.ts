import { UsageError } from "./exit-code.ts";
import { printable } from "./printable.ts";

/** Gathers an option that may be given again and again. */
export function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

/**
 * `KEY=VALUE` words as an object; without `=` the value is empty, as Docker has it.
 *
 * @throws {UsageError} for a key that is empty or given twice.
 */
export function parsePairs(
  option: string,
  words: readonly string[],
): Readonly<Record<string, string>> {
  const pairs = new Map<string, string>();
  for (const word of words) {
    const [, key = "", value = ""] = /^([^=]*)=?(.*)$/s.exec(word) ?? [];
    if (key === "") throw new UsageError(`Cannot use ${option} ${printable(word)}: give KEY=VALUE`);
    if (pairs.has(key)) {
      throw new UsageError(`Cannot use ${option} ${printable(key)} twice: give it once`);
    }
    pairs.set(key, value);
  }
  return Object.fromEntries(pairs);
}
