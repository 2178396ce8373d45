import { describe, expect, it } from "vitest";
import { EXEC_OUTPUT_LIMIT_BYTES, type Exec } from "../../src/core/ports/exec.ts";

type Argv = readonly [string, ...string[]];

/** Commands for the suite to run. */
export interface ExecGiven {
  readonly exec: Exec;
  /** Lets time pass until `work` has settled. A real machine needs nothing for it. */
  readonly settle: <T>(work: Promise<T>) => Promise<T>;
  /** Prints `stdout` and `stderr` as they are and exits with `code`. */
  readonly leave: (result: { code: number; stdout: string; stderr: string }) => Argv;
  /** Prints each argument, and a line feed after each. */
  readonly echo: (...args: readonly string[]) => Argv;
  /** Never ends by itself. */
  readonly forever: Argv;
  /** Prints so many bytes `x` on each of both outputs, and exits with 0. */
  readonly flood: (bytes: number) => Argv;
  readonly cleanup: () => Promise<void>;
}

/** How the suite gets at a machine that runs commands. */
export interface ExecHarness {
  readonly fresh: () => Promise<ExecGiven>;
}

/** Holds a form of `Exec` to its numbered sentences, as far as its caller can see them. */
export function execConformance(name: string, harness: ExecHarness): void {
  const check = (title: string, body: (given: ExecGiven) => Promise<void>): void => {
    it(title, async () => {
      const given = await harness.fresh();
      try {
        await body(given);
      } finally {
        await given.cleanup();
      }
    });
  };
  const { signal } = new AbortController();
  const soon = { timeoutMs: 30_000 };

  describe(`Exec: ${name}`, () => {
    check("0 gives what a command printed", async ({ exec, leave, settle }) => {
      const result = { code: 0, stdout: "one\ntwo\n", stderr: "grüße\n" };
      expect(await settle(exec.run(leave(result), soon, signal))).toEqual(result);
    });

    check("0 cuts each output at its limit and reads on", async ({ exec, flood, settle }) => {
      const bytes = EXEC_OUTPUT_LIMIT_BYTES + 100_000;
      const { code, stdout, stderr } = await settle(exec.run(flood(bytes), soon, signal));
      expect(code).toBe(0);
      expect(stdout).toBe("x".repeat(EXEC_OUTPUT_LIMIT_BYTES));
      expect(stderr).toBe("x".repeat(EXEC_OUTPUT_LIMIT_BYTES));
    });

    check("1 resolves with any exit status", async ({ exec, leave, settle }) => {
      for (const code of [1, 2, 127, 255]) {
        const result = { code, stdout: "", stderr: "no\n" };
        expect(await settle(exec.run(leave(result), soon, signal))).toEqual(result);
      }
    });

    check("2 names a command that is not installed", async ({ exec, settle }) => {
      for (const command of ["lagan-no-such-command", "/usr/bin/lagan-no-such-command"]) {
        const running = exec.run([command, "x"], soon, signal);
        await expect(settle(running)).rejects.toMatchObject({
          code: "failed_precondition",
          message: expect.stringContaining("lagan-no-such-command"),
        });
      }
    });

    check("3 ends what takes longer than its time", async ({ exec, forever, settle }) => {
      const running = exec.run(forever, { timeoutMs: 50 }, signal);
      await expect(settle(running)).rejects.toMatchObject({
        code: "deadline_exceeded",
        message: expect.stringContaining(forever[0]),
      });
    });

    check("4 an abort rejects with its reason", async ({ exec, forever, settle }) => {
      const controller = new AbortController();
      const running = exec.run(forever, { timeoutMs: 3_600_000 }, controller.signal);
      controller.abort("enough");
      await expect(settle(running)).rejects.toBe("enough");
    });

    check("4 a signal that has aborted before rejects likewise", async (given) => {
      const { exec, forever, settle } = given;
      const running = exec.run(forever, { timeoutMs: 3_600_000 }, AbortSignal.abort("enough"));
      await expect(settle(running)).rejects.toBe("enough");
    });

    check("5 arguments arrive byte for byte", async ({ exec, echo, settle }) => {
      const args = [
        "$HOME",
        "*",
        "a  b",
        "",
        "'\"\\",
        "`id`;|&<>",
        "-n",
        "--",
        "grüße 🚢",
        "~",
        "%s",
      ];
      const { stdout } = await settle(exec.run(echo(...args), soon, signal));
      expect(stdout).toBe(args.map((arg) => `${arg}\n`).join(""));
    });
  });
}
