import type { FailureCode } from "../core/failure.ts";

/** The command line was not understood; nothing was asked of the daemon. */
export const USAGE_EXIT_CODE = 2;
/** The command did its work and the result is bad news: the doctor found an error. */
export const BAD_NEWS_EXIT_CODE = 1;

/** Exit code of each failure: 10 and gRPC's number of the code. The table that people read is docs/errors.md. */
export const EXIT_CODE: Readonly<Record<FailureCode, number>> = {
  cancelled: 11,
  unknown: 12,
  invalid_argument: 13,
  deadline_exceeded: 14,
  not_found: 15,
  already_exists: 16,
  permission_denied: 17,
  resource_exhausted: 18,
  failed_precondition: 19,
  aborted: 20,
  out_of_range: 21,
  unimplemented: 22,
  internal: 23,
  unavailable: 24,
  data_loss: 25,
  unauthenticated: 26,
};

/** A command line that cannot be meant: the message says what to type instead. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
