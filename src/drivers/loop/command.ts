import { Failure, type FailureCode } from "../../core/failure.ts";
import type { Exec } from "../../core/ports/exec.ts";

/** Longest that one command may work on an image, in milliseconds: a copy of a large one takes hours. */
const COMMAND_TIMEOUT_MS: number = 24 * 3_600_000;

/** What a message of a command's means. The first that fits counts. */
const MEANING: readonly (readonly [RegExp, FailureCode])[] = [
  [/No space left|Not enough space|Disk quota/i, "resource_exhausted"],
  [/smaller than minimum|too small/i, "failed_precondition"],
  [/Input\/output error|UNEXPECTED INCONSISTENCY/i, "data_loss"],
  [/Permission denied|Operation not permitted/i, "permission_denied"],
];

/**
 * Runs a command on an image.
 *
 * @param attempt What it is for, as the beginning of a sentence.
 * @param options `done`: the statuses that are success, 0 unless told; `signal`: for what may be broken off.
 * @throws {Failure} when it exits with another status than `done`, with its last words.
 */
export async function work(
  exec: Exec,
  attempt: string,
  argv: readonly [string, ...string[]],
  options: { readonly done?: readonly number[]; readonly signal?: AbortSignal } = {},
): Promise<string> {
  const { done = [0], signal = new AbortController().signal } = options;
  const { code, stdout, stderr } = await exec.run(argv, { timeoutMs: COMMAND_TIMEOUT_MS }, signal);
  if (done.includes(code)) return stdout;
  const text = `${stderr}\n${stdout}`;
  const [, meaning = "unknown"] = MEANING.find(([pattern]) => pattern.test(text)) ?? [];
  throw new Failure(meaning, `${attempt}: ${lastWords(argv[0], text)}`, { cause: new Error(text) });
}

/** The line in which a command says why, without its own name. */
function lastWords(command: string, text: string): string {
  const lines = text.split("\n").map((line) => line.trim());
  const why = lines.find((line) => line.startsWith(`${command}: `) && !/\d+\.\d+\.\d+/.test(line));
  return why ?? `${command} failed; the log says more`;
}
