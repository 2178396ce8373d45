import { Worker } from "node:worker_threads";
import { Failure } from "../core/failure.ts";
import type { TreeChange, TreeDiff } from "../core/ports/tree-diff.ts";
import { failureOfErrno } from "./errno.ts";
import type { TreeDiffFailure, TreeDiffOrder, TreeDiffReport } from "./tree-diff-message.ts";

/** How many messages the walk may be ahead of its reader. */
const AHEAD = 4;

/** Compares trees in a thread of its own for each comparison. */
export const hostTreeDiff: TreeDiff = { compare };

async function* compare(
  from: string,
  to: string,
  signal: AbortSignal,
): AsyncGenerator<TreeChange, void, undefined> {
  signal.throwIfAborted();
  const credit = new SharedArrayBuffer(4);
  const left = new Int32Array(credit);
  left[0] = AHEAD;
  const reports: TreeDiffReport[] = [];
  let fault: { readonly thrown: unknown } | undefined;
  let wake: () => void = () => undefined;
  const stop = (thrown: unknown): void => {
    fault ??= { thrown };
    wake();
  };
  const abort = () => stop(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  const order: TreeDiffOrder = { from, to, credit };
  const worker = new Worker(new URL("./tree-diff-worker.ts", import.meta.url), {
    workerData: order,
  });
  worker.on("message", (report: TreeDiffReport) => {
    reports.push(report);
    wake();
  });
  worker.on("error", (cause) => stop(new Failure("internal", "Internal error", { cause })));
  worker.on("exit", () => stop(new Failure("internal", "Internal error")));
  try {
    for (;;) {
      if (fault !== undefined && (signal.aborted || reports.length === 0)) throw fault.thrown;
      const report = reports.shift();
      if (report === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      } else if ("changes" in report) {
        yield* report.changes;
        Atomics.add(left, 0, 1);
        Atomics.notify(left, 0);
      } else if ("failure" in report) throw failureOf(report.failure);
      else return;
    }
  } finally {
    signal.removeEventListener("abort", abort);
    await worker.terminate();
  }
}

function failureOf(failure: TreeDiffFailure): Failure {
  if ("code" in failure) return new Failure(failure.code, failure.message);
  return failureOfErrno(failure.call, failure.path, failure.errno);
}
