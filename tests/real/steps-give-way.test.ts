import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { mustRun } from "./command.ts";

const STEPS = 60;
const SOURCE = join(import.meta.dirname, "../../src/host/syscalls-steps.ts");
/** One processor for all of it, of those that we may use. */
const [PROCESSOR = "0"] =
  /^Cpus_allowed_list:\s*(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.slice(1) ?? [];
const ALONE = ["taskset", "--cpu-list", PROCESSOR] as const;
/** Ends by itself, should this test be killed. */
const SPIN = "const end = Date.now() + 60_000; while (Date.now() < end);";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "lagan-steps-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

/** How often a process gives way that makes so many directories in one go. */
async function timesGivenWay(name: string): Promise<number> {
  const within = join(root, name);
  await mkdir(within);
  const code = `
    import { performSteps } from ${JSON.stringify(SOURCE)};
    const steps = Array.from({ length: ${STEPS} }, (_, n) =>
      ({ do: "makeDirectory", path: ${JSON.stringify(within)} + "/" + n, mode: 0o700 }));
    performSteps(steps);`;
  const calls = join(root, `${name}.calls`);
  await mustRun([
    ...[...ALONE, "strace", "-qq", "-e", "trace=sched_yield", "-o", calls],
    ...[process.execPath, "--input-type=module", "--eval", code],
  ]);
  return (await readFile(calls, "utf8")).split("sched_yield()").length - 1;
}

it("between its steps a thread gives way to who waits for its processor", async () => {
  expect(await timesGivenWay("quiet")).toBeGreaterThan(0);
});

it("not again and again to programs that compute", async () => {
  // A child of our own session: the kernel may share out time between sessions first.
  const [file, ...args] = [...ALONE, process.execPath, "--eval", SPIN] as const;
  const spinning = spawn(file, args, { stdio: "ignore" });
  try {
    expect(await timesGivenWay("busy")).toBeLessThan(STEPS / 2);
  } finally {
    spinning.kill("SIGKILL");
  }
});
