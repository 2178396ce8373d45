import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { mustRun } from "../real/command.ts";
import { COMMAND_CASES, PROCESS_CASES } from "./command-cases.ts";
import { BadInputHost, type Seen } from "./host.ts";

/* Bad command lines, by the real command on the socket of a real lagand. */

const RUNNER = join(import.meta.dirname, "command-runner.ts");

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

let host: BadInputHost;
let before: Seen;

beforeAll(async () => {
  host = await BadInputHost.start();
  before = await host.see();
});

afterAll(() => host?.[Symbol.asyncDispose]());

function expectRefused(outcome: Outcome, code: number, says: string): void {
  expect({ ...outcome, stderr: "" }, outcome.stderr).toEqual({ code, stdout: "", stderr: "" });
  expect(outcome.stderr).toContain(says);
  // One line, fit for a terminal.
  expect(outcome.stderr).toMatch(/^lagan: [^\p{Cc}\p{Cf}]{10,}\n$/u);
}

it(`${COMMAND_CASES.length} command lines are refused in one line each, and nothing changes`, async () => {
  const outcomes: readonly Outcome[] = JSON.parse(
    await mustRun([process.execPath, RUNNER], {
      env: { ...process.env, LAGAN_HOST: host.machine.lagand.address },
      input: COMMAND_CASES.map(([argv]) => JSON.stringify(argv)).join("\n"),
    }),
  );
  expect(outcomes).toHaveLength(COMMAND_CASES.length);
  const faults = COMMAND_CASES.flatMap(([argv, code, says], index) => {
    try {
      expectRefused(outcomes[index] ?? { code: -1, stdout: "", stderr: "" }, code, says);
      return [];
    } catch (thrown) {
      return [`${JSON.stringify(argv).slice(0, 200)}: ${String(thrown).slice(0, 500)}`];
    }
  });
  expect(faults).toEqual([]);
  expect(await host.see()).toEqual(before);
});

it.each(PROCESS_CASES)("%j ends with %d, as a process", async (argv, code, says) => {
  expectRefused(await host.machine.lagan(...argv), code, says);
  expect(await host.see()).toEqual(before);
});

it("an empty and a huge argument are refused too", async () => {
  const empty = await host.machine.lagan("volume", "rename", "kept", "");
  expectRefused(empty, 13, "at least 2 characters");
  const huge = await host.machine.lagan("volume", "create", "x".repeat(120_000));
  expectRefused(huge, 13, "it has 120000 characters");
  expect(await host.see()).toEqual(before);
});
