import type { FailureCode } from "../../core/failure.ts";

/**
 * How each failure reaches the engine. `answer`: HTTP 500 with `Err` (Podman overlooks an `Err` in a 200).
 * `hang-up`: no answer at all, which the engine repeats and in the end takes for an absent plugin. That is the
 * one thing that is safe to say when we do not know: an engine that is told of any error at its start forgets
 * the volume.
 */
export const WHEN_ASKED_FOR_A_VOLUME: Readonly<Record<FailureCode, "answer" | "hang-up">> = {
  not_found: "answer",
  invalid_argument: "answer",
  out_of_range: "answer",
  already_exists: "answer",
  failed_precondition: "answer",
  permission_denied: "answer",
  unauthenticated: "answer",
  unimplemented: "answer",
  resource_exhausted: "hang-up",
  cancelled: "hang-up",
  unknown: "hang-up",
  deadline_exceeded: "hang-up",
  aborted: "hang-up",
  internal: "hang-up",
  unavailable: "hang-up",
  data_loss: "hang-up",
};
