import { Failure, type FailureCode } from "../core/failure.ts";

/** What each errno means to a caller. One that is not here is `unknown`. */
const CODE_OF_ERRNO: Readonly<Record<string, FailureCode>> = {
  ENOENT: "not_found",
  EEXIST: "already_exists",
  ENOTEMPTY: "failed_precondition",
  EBUSY: "failed_precondition",
  ETXTBSY: "failed_precondition",
  EROFS: "failed_precondition",
  ENOTCONN: "failed_precondition",
  EISDIR: "invalid_argument",
  EINVAL: "invalid_argument",
  ENOTBLK: "invalid_argument",
  ENOTDIR: "invalid_argument",
  EFBIG: "out_of_range",
  ELOOP: "invalid_argument",
  ENAMETOOLONG: "invalid_argument",
  EXDEV: "failed_precondition",
  ENOSPC: "resource_exhausted",
  EDQUOT: "resource_exhausted",
  EMFILE: "resource_exhausted",
  ENFILE: "resource_exhausted",
  ENOMEM: "resource_exhausted",
  EMLINK: "resource_exhausted",
  EPERM: "permission_denied",
  EACCES: "permission_denied",
  ENOTTY: "unimplemented",
  EOPNOTSUPP: "unimplemented",
  ENOTSUP: "unimplemented",
  ENOSYS: "unimplemented",
  ENODEV: "unimplemented",
  EIO: "data_loss",
  EUCLEAN: "data_loss",
};

/** A failed call of the system as a `Failure` that names call, path and errno. */
export function failureOfErrno(
  call: string,
  path: string,
  errno: string,
  options: { readonly code?: FailureCode; readonly cause?: unknown } = {},
): Failure {
  const code = options.code ?? CODE_OF_ERRNO[errno] ?? "unknown";
  return new Failure(code, `Cannot ${call} ${path}: ${errno}`, { cause: options.cause });
}

/** The errno name of what Node's own calls throw; undefined for anything else. */
export function errnoOf(thrown: unknown): string | undefined {
  return thrown instanceof Error && "code" in thrown && typeof thrown.code === "string"
    ? thrown.code
    : undefined;
}
