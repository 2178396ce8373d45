import { main } from "../../src/cli/main.ts";

/** One run of the command, as `outcome` of a process of its own would have it. */
interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/*
 * Runs the `lagan` command many times in one process: the command lines are lines of JSON on standard input, and the
 * outcomes one JSON array on standard output.
 */
process.stdout.setMaxListeners(0);
const input: Buffer[] = [];
for await (const chunk of process.stdin) input.push(chunk as Buffer);
const lines = Buffer.concat(input).toString().split("\n").filter(Boolean);
const write = process.stdout.write.bind(process.stdout);
const runs: Run[] = [];
for (const line of lines) {
  const out: string[] = [];
  const err: string[] = [];
  process.stdout.write = (text: string | Uint8Array) => out.push(String(text)) > 0;
  process.stderr.write = (text: string | Uint8Array) => err.push(String(text)) > 0;
  process.exitCode = 0;
  await main(JSON.parse(line) as readonly string[]);
  runs.push({ code: Number(process.exitCode), stdout: out.join(""), stderr: err.join("") });
}
process.exitCode = 0;
write(`${JSON.stringify(runs)}\n`);
