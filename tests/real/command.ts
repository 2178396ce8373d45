import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";

/** What a finished command left. */
export interface Outcome {
  /** Exit status; 128 + signal number when a signal ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** Text or bytes for standard input; empty when left out. */
  readonly input?: string | Uint8Array;
  /** Past this the command is killed and the call rejects. */
  readonly timeoutMs?: number;
}

/** Longest time a command may take unless it says otherwise, in milliseconds. Docker gives a lost plugin 15 s per try. */
const COMMAND_TIMEOUT_MS = 120_000;

/** Runs a command to its end, whatever its status. */
export function run(argv: readonly string[], options: CommandOptions = {}): Promise<Outcome> {
  const [file = "", ...args] = argv;
  const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
  const timeoutMs = options.timeoutMs ?? COMMAND_TIMEOUT_MS;
  const child = spawn(file, args, { env: options.env ?? process.env });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  const timer = setTimeout(() => {
    child.kill("SIGKILL");
    reject(
      new Error(`${argv.join(" ")}: no end within ${timeoutMs} ms; ${Buffer.concat(err)}`.trim()),
    );
  }, timeoutMs);
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
  child.on("error", reject);
  child.on("close", (code, signal) => {
    clearTimeout(timer);
    resolve({
      code: code ?? (signal === "SIGKILL" ? 137 : 143),
      stdout: Buffer.concat(out).toString(),
      stderr: Buffer.concat(err).toString(),
    });
  });
  // A command that ends without reading its input is judged by its status.
  child.stdin.on("error", () => undefined);
  child.stdin.end(options.input ?? "");
  return promise;
}

/** Standard output, trimmed, of a command that succeeds; rejects with all that it said when it doesn't. */
export async function mustRun(
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  return succeeded(argv, await run(argv, options));
}

/** Standard output, trimmed. @throws when the status is not 0, with all that the command said. */
export function succeeded(argv: readonly string[], { code, stdout, stderr }: Outcome): string {
  if (code !== 0) {
    throw new Error(`${argv.join(" ")}: exit status ${code}\n${stdout}${stderr}`.trim());
  }
  return stdout.trim();
}

/** Asks again and again until the answer is neither false nor undefined; rejects when it takes longer than `timeoutMs`. */
export async function eventually<T>(
  what: string,
  ask: () => T | Promise<T>,
  { timeoutMs = 60_000, everyMs = 20 }: { timeoutMs?: number; everyMs?: number } = {},
): Promise<Exclude<T, false | undefined>> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer as Exclude<T, false | undefined>;
    if (performance.now() > deadline) throw new Error(`Not within ${timeoutMs} ms: ${what}`);
    await sleep(everyMs);
  }
}
