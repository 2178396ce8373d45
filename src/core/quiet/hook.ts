import { parseDurationMs } from "../duration.ts";
import { Failure } from "../failure.ts";
import { quote } from "../name.ts";

/** Label of a container: the command that makes its data consistent before a snapshot. */
export const PRE_HOOK_LABEL = "lagan.snapshot.pre";
/** Label of a container: the command that ends what the one before began. */
export const POST_HOOK_LABEL = "lagan.snapshot.post";
/** Label of a container: how long each of the two may take. */
export const HOOK_TIMEOUT_LABEL = "lagan.snapshot.timeout";
/** How long a hook may take when its container does not say, in milliseconds. */
export const HOOK_TIMEOUT_MS = 10_000;
/** The longest that a container can ask for, in milliseconds. */
export const HOOK_TIMEOUT_LIMIT_MS = 300_000;

/** What a container wants done around a snapshot of its volumes. */
export interface Hooks {
  readonly pre: readonly string[] | null;
  readonly post: readonly string[] | null;
  readonly timeoutMs: number;
}

/**
 * Reads a container's labels; null when it has no hook. A command is a JSON array of strings (`["pg_backup", "start"]`), run as
 * it is, or any other text, run by the container's `sh -c`.
 *
 * @throws {Failure} `invalid_argument` naming the label.
 */
export function parseHooks(labels: Readonly<Record<string, string>>): Hooks | null {
  const pre = parseCommand(PRE_HOOK_LABEL, labels[PRE_HOOK_LABEL]);
  const post = parseCommand(POST_HOOK_LABEL, labels[POST_HOOK_LABEL]);
  if (pre === null && post === null) return null;
  return { pre, post, timeoutMs: parseTimeout(labels[HOOK_TIMEOUT_LABEL]) };
}

function parseCommand(label: string, text: string | undefined): readonly string[] | null {
  if (text === undefined || text.trim() === "") return null;
  if (!text.trimStart().startsWith("[")) return ["sh", "-c", text];
  const argv = parseJson(text);
  if (!Array.isArray(argv) || !argv.every((word) => typeof word === "string") || !argv[0]) {
    throw new Failure(
      "invalid_argument",
      `Cannot use label ${label}=${quote(text)}: give a JSON array of strings, or a line for sh`,
    );
  }
  return argv;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function parseTimeout(text: string | undefined): number {
  if (text === undefined) return HOOK_TIMEOUT_MS;
  const timeoutMs = parseDurationMs(text);
  if (timeoutMs > 0 && timeoutMs <= HOOK_TIMEOUT_LIMIT_MS) return timeoutMs;
  throw new Failure(
    "invalid_argument",
    `Cannot use label ${HOOK_TIMEOUT_LABEL}=${quote(text)}: give 1s to ${HOOK_TIMEOUT_LIMIT_MS / 60_000}m`,
  );
}
