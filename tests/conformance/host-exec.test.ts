import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { hostExec } from "../../src/host/exec.ts";
import { execConformance } from "./exec.ts";

const LEAVE = 'printf %s "$1"; printf %s "$2" >&2; exit "$3"';
const FLOOD = 'head -c "$1" /dev/zero | tr "\\0" x; head -c "$1" /dev/zero | tr "\\0" x >&2';

execConformance("this machine's", {
  fresh: async () => ({
    exec: hostExec,
    settle: (work) => work,
    leave: ({ code, stdout, stderr }) => ["sh", "-c", LEAVE, "sh", stdout, stderr, `${code}`],
    echo: (...args) => ["sh", "-c", 'printf "%s\\n" "$@"', "sh", ...args],
    forever: ["sleep", "infinity"],
    flood: (bytes) => ["sh", "-c", FLOOD, "sh", `${bytes}`],
    cleanup: async () => undefined,
  }),
});

describe("Exec: this machine's, seen from the command", () => {
  const { signal } = new AbortController();
  const soon = { timeoutMs: 30_000 };
  let directory: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "lagan-exec-"));
  });
  afterEach(() => rm(directory, { recursive: true }));

  it("1 gives 128 and the number of the signal that ended a command", async () => {
    const result = await hostExec.run(["sh", "-c", "kill -KILL $$"], soon, signal);
    expect(result.code).toBe(137);
  });

  it("2 what is there but cannot be executed: permission_denied", async () => {
    const running = hostExec.run([directory], soon, signal);
    await expect(running).rejects.toMatchObject({ name: "Failure", code: "permission_denied" });
  });

  it.each(["time", "abort"])("3, 4 after %s the command and its children are gone", async (how) => {
    // The child ignores what it can, and holds the outputs open.
    const script = `sh -c 'trap "" TERM HUP INT; echo $$ >${directory}/child; while :; do sleep 1; done' & wait`;
    const controller = new AbortController();
    const timeoutMs = how === "time" ? 300 : 60_000;
    const running = hostExec.run(["sh", "-c", script], { timeoutMs }, controller.signal);
    const settled = expect(running).rejects.toBeDefined();
    const pid = await until(() => readFile(`${directory}/child`, "utf8").catch(() => ""));
    if (how === "abort") controller.abort(new Error("enough"));
    await settled;
    await until(async () => ((await isRunning(pid.trim())) ? "" : "gone"));
  });

  it("6 sees PATH and LC_ALL only, and nothing to read", async () => {
    process.env["LAGAN_SECRET"] = "secret";
    try {
      const { stdout } = await hostExec.run(["env"], soon, signal);
      const names = stdout.split("\n").map((line) => line.split("=")[0]);
      expect(names.filter((name) => name !== "").sort()).toEqual(["LC_ALL", "PATH"]);
      expect(stdout).toContain("LC_ALL=C\n");
      expect((await hostExec.run(["cat"], soon, signal)).stdout).toBe("");
    } finally {
      delete process.env["LAGAN_SECRET"];
    }
  });
});

async function isRunning(pid: string): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return stat !== "" && !stat.includes(") Z ");
}

/** Asks again until the answer is not empty. */
async function until(ask: () => Promise<string>): Promise<string> {
  for (;;) {
    const answer = await ask();
    if (answer !== "") return answer;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
