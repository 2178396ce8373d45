import type { Failure, FailureCode } from "../../core/failure.ts";
import type { WireProblem } from "./resource.ts";
import { HTTP_STATUS } from "./status.ts";

/** Media type of a failure's answer (RFC 9457). */
export const PROBLEM_TYPE = "application/problem+json";

/** A failure on the wire. Its cause stays here. */
export function formatProblem(
  failure: Failure,
  traceId: string,
  status: number = HTTP_STATUS[failure.code],
): WireProblem {
  return {
    ...failure.detail,
    type: `urn:lagan:failure:${failure.code}`,
    title: titleOf(failure.code),
    status,
    code: failure.code,
    detail: failure.message,
    traceId,
  };
}

/** `not_found` → `Not found`. */
function titleOf(code: FailureCode): string {
  return (code[0] ?? "").toUpperCase() + code.slice(1).replaceAll("_", " ");
}
