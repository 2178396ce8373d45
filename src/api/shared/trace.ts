import { AsyncLocalStorage } from "node:async_hooks";
import { randomUUID } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";

const current = new AsyncLocalStorage<string>();

/** The trace id of the request that the running code serves; undefined outside of one. */
export function traceId(): string | undefined {
  return current.getStore();
}

/** Runs `work`, and all that it starts, under `id`. */
export function runTraced<T>(id: string, work: () => T): T {
  return current.run(id, work);
}

/**
 * The trace id of a request: the trace id of a well-formed `traceparent` (W3C Trace Context), else a well-formed
 * `x-request-id` (1 to 64 letters, digits, `_` and `-`), else the 32 hex digits of a fresh UUID.
 */
export function traceIdOf(headers: IncomingHttpHeaders): string {
  const parent = /^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/.exec(
    String(headers["traceparent"] ?? ""),
  );
  if (parent?.[1] !== undefined) return parent[1];
  const requestId = String(headers["x-request-id"] ?? "");
  return /^[\w-]{1,64}$/.test(requestId) ? requestId : randomUUID().replaceAll("-", "");
}
