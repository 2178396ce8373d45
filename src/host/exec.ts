import { spawn } from "node:child_process";
import { constants } from "node:os";
import { Failure } from "../core/failure.ts";
import { EXEC_OUTPUT_LIMIT_BYTES, type Exec, type ExecResult } from "../core/ports/exec.ts";
import { errnoOf, failureOfErrno } from "./errno.ts";

/** Where commands are looked for, whatever the daemon's own environment says. */
export const HOST_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Runs commands on this machine, each in a process group of its own so that its children end with it. */
export const hostExec: Exec = {
  async run([command, ...args], { timeoutMs }, signal) {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<ExecResult>();
    const child = spawn(command, args, {
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: { LC_ALL: "C", PATH: HOST_PATH },
      cwd: "/",
    });
    const kill = () => {
      if (child.pid !== undefined) killGroup(child.pid);
    };
    const late = setTimeout(() => {
      kill();
      reject(
        new Failure(
          "deadline_exceeded",
          `Cannot wait longer for ${command}: it did not end within ${timeoutMs} ms`,
        ),
      );
    }, timeoutMs);
    const abort = () => {
      kill();
      reject(signal.reason);
    };
    signal.addEventListener("abort", abort, { once: true });
    const stdout = collect(child.stdout);
    const stderr = collect(child.stderr);
    child.once("error", (cause) => reject(startFailure(command, cause)));
    child.once("close", (code, name) => {
      const status = code ?? 128 + (name === null ? 0 : constants.signals[name]);
      resolve({ code: status, stdout: stdout(), stderr: stderr() });
    });
    try {
      return await promise;
    } finally {
      clearTimeout(late);
      signal.removeEventListener("abort", abort);
    }
  },
};

function collect(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  let kept = 0;
  stream.on("data", (chunk: Buffer) => {
    const rest = EXEC_OUTPUT_LIMIT_BYTES - kept;
    if (rest > 0) chunks.push(chunk.subarray(0, rest));
    kept += Math.min(rest, chunk.length);
  });
  return () => Buffer.concat(chunks).toString("utf8");
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (thrown) {
    if (errnoOf(thrown) !== "ESRCH") throw thrown;
  }
}

function startFailure(command: string, cause: Error): Failure {
  const errno = errnoOf(cause) ?? "unknown";
  if (errno === "ENOENT") {
    return new Failure("failed_precondition", `Cannot run ${command}: it is not installed`, {
      cause,
    });
  }
  return failureOfErrno("run", command, errno, { cause });
}
