/**
 * The one error type that crosses a module boundary.
 *
 * Codes are gRPC's, because CSI and containerd speak them natively and HTTP
 * has a well-known mapping. The set is closed: an API that forgets one does
 * not compile (see `api/rest/status.ts`).
 */
export type FailureCode =
  | "cancelled"
  | "unknown"
  | "invalid_argument"
  | "deadline_exceeded"
  | "not_found"
  | "already_exists"
  | "permission_denied"
  | "resource_exhausted"
  | "failed_precondition"
  | "aborted"
  | "out_of_range"
  | "unimplemented"
  | "internal"
  | "unavailable"
  | "data_loss"
  | "unauthenticated";

/** What a client may see beside the message: names, sizes, never paths or secrets. */
export type FailureDetail = Readonly<Record<string, string | number | boolean>>;

export class Failure extends Error {
  override readonly name = "Failure";
  readonly code: FailureCode;
  readonly detail: FailureDetail;

  /** @param message What was attempted and why it could not be, safe to show a client. */
  constructor(
    code: FailureCode,
    message: string,
    options: { readonly detail?: FailureDetail; readonly cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.code = code;
    this.detail = options.detail ?? {};
  }

  /** Wraps anything thrown. A Failure passes through; the rest is a bug of ours: `internal`. */
  static from(thrown: unknown): Failure {
    if (thrown instanceof Failure) return thrown;
    return new Failure("internal", "Internal error", { cause: thrown });
  }

  /** True when the same call may succeed later, unchanged. */
  get retryable(): boolean {
    return this.code === "unavailable" || this.code === "aborted";
  }
}

/** States what only a bug of ours can break. Crashes the caller; never for input or for the machine. */
export function invariant(holds: boolean, sentence: string): asserts holds {
  if (!holds) throw new Error(`Invariant broken: ${sentence}`);
}
