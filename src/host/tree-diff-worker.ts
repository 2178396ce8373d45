import { parentPort, workerData } from "node:worker_threads";
import { Failure, invariant } from "../core/failure.ts";
import type { TreeChange } from "../core/ports/tree-diff.ts";
import { errnoOf } from "./errno.ts";
import { SyscallError } from "./libc.ts";
import type { TreeDiffFailure, TreeDiffOrder, TreeDiffReport } from "./tree-diff-message.ts";
import { walkTrees } from "./tree-walk.ts";

/** How many differences go in one message. */
const BATCH = 500;

const port = parentPort;
invariant(port !== null, "this file runs as a worker thread");
const { from, to, credit }: TreeDiffOrder = workerData;
const left = new Int32Array(credit);

try {
  let batch: TreeChange[] = [];
  for (const change of walkTrees(from, to)) {
    batch.push(change);
    if (batch.length < BATCH) continue;
    send({ changes: batch });
    batch = [];
  }
  send({ changes: batch });
  port.postMessage({ end: true } satisfies TreeDiffReport);
} catch (thrown) {
  port.postMessage({ failure: failureOf(thrown) } satisfies TreeDiffReport);
}

/** Waits while the reader has as much as it wants. */
function send(report: TreeDiffReport): void {
  while (Atomics.load(left, 0) <= 0) Atomics.wait(left, 0, 0);
  Atomics.sub(left, 0, 1);
  port?.postMessage(report);
}

function failureOf(thrown: unknown): TreeDiffFailure {
  if (thrown instanceof Failure) return { code: thrown.code, message: thrown.message };
  if (thrown instanceof SyscallError) {
    return { call: thrown.call, path: thrown.path, errno: thrown.errno };
  }
  const errno = errnoOf(thrown);
  if (errno === undefined) throw thrown;
  return { call: "compare", path: from, errno };
}
