import { setTimeout as sleep } from "node:timers/promises";
import { Failure, type FailureCode } from "../../src/core/failure.ts";

/**
 * What Kubernetes' provisioner takes for "perhaps it still goes on": the call is repeated and its outcome never
 * forgotten. Every other code is an answer (external-provisioner 6.2, `checkError`).
 */
const UNSETTLED: ReadonlySet<FailureCode> = new Set([
  "cancelled",
  "deadline_exceeded",
  "unavailable",
  "aborted",
]);

const FIRST_WAIT_MS = 20;
const LONGEST_WAIT_MS = 1_000;

/** Until when a call is repeated. */
export interface Patience {
  /** Milliseconds from the first call; past it the last failure is thrown. */
  readonly withinMs: number;
}

/** Repeats `call` while its failures say that it is not settled, with growing waits that differ between callers. */
export async function settled<T>(call: () => Promise<T>, { withinMs }: Patience): Promise<T> {
  const endsAt = performance.now() + withinMs;
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS)) {
    try {
      return await call();
    } catch (thrown) {
      const open = thrown instanceof Failure && UNSETTLED.has(thrown.code);
      if (!open || performance.now() > endsAt) throw thrown;
    }
    await sleep(waitMs * (0.5 + Math.random()));
  }
}
