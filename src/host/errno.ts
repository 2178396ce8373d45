import { constants } from "node:os";
import { Failure, type FailureCode } from "../core/failure.ts";

/** What each errno means to a caller, and in words. One that is not here is `unknown`. */
const MEANING_OF_ERRNO: Readonly<Record<string, readonly [FailureCode, string]>> = {
  ENOENT: ["not_found", "no such file or directory"],
  EEXIST: ["already_exists", "it exists already"],
  ENOTEMPTY: ["failed_precondition", "the directory is not empty"],
  EBUSY: ["failed_precondition", "it is in use"],
  ETXTBSY: ["failed_precondition", "it is being executed"],
  EROFS: ["failed_precondition", "the file system is read-only"],
  EXDEV: ["failed_precondition", "it is on another file system"],
  EISDIR: ["invalid_argument", "it is a directory"],
  ENOTDIR: ["invalid_argument", "it is no directory"],
  ENOTBLK: ["invalid_argument", "it is no block device"],
  EINVAL: ["invalid_argument", "invalid argument"],
  ELOOP: ["invalid_argument", "it is a symbolic link"],
  E2BIG: ["invalid_argument", "the argument is too long"],
  ENAMETOOLONG: ["invalid_argument", "the name is too long"],
  EFBIG: ["out_of_range", "the file system has no files as large"],
  ENOSPC: ["resource_exhausted", "no space is left"],
  EDQUOT: ["resource_exhausted", "the size limit is reached"],
  EMLINK: ["resource_exhausted", "too many links"],
  EMFILE: ["resource_exhausted", "this process has too many files open"],
  ENFILE: ["resource_exhausted", "this machine has too many files open"],
  ENOMEM: ["resource_exhausted", "no memory is left"],
  EPERM: ["permission_denied", "operation not permitted"],
  EACCES: ["permission_denied", "permission denied"],
  ENOTTY: ["unimplemented", "the file system cannot do that"],
  EOPNOTSUPP: ["unimplemented", "the file system cannot do that"],
  ENOTSUP: ["unimplemented", "the file system cannot do that"],
  ENOSYS: ["unimplemented", "this kernel cannot do that"],
  ENODEV: ["unimplemented", "this kernel has no such file system"],
  EIO: ["data_loss", "input/output error"],
  EUCLEAN: ["data_loss", "the file system is damaged"],
};

/** Numbers of errnos, the same on every architecture that we run on. Node's list lacks a few. */
const NAME_OF_NUMBER: ReadonlyMap<number, string> = new Map([
  ...Object.entries(constants.errno).map(([name, number]) => [number, name] as const),
  [11, "EAGAIN"],
  [95, "EOPNOTSUPP"],
  [117, "EUCLEAN"],
]);

/** `ENOENT` for 2. */
export function errnoName(number: number): string {
  return NAME_OF_NUMBER.get(number) ?? `errno ${number}`;
}

/** A failed call of the system as a `Failure` that names call, path and errno. */
export function failureOfErrno(
  call: string,
  path: string,
  errno: string,
  options: { readonly code?: FailureCode; readonly why?: string; readonly cause?: unknown } = {},
): Failure {
  const [code, why] = MEANING_OF_ERRNO[errno] ?? ["unknown", "the call failed"];
  return new Failure(
    options.code ?? code,
    `Cannot ${call} ${path}: ${options.why ?? why} (${errno})`,
    { cause: options.cause },
  );
}

/** The errno name of what Node's own calls throw; undefined for anything else. */
export function errnoOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !("code" in thrown)) return undefined;
  // libuv does not know them all: EDQUOT comes as code "Unknown system error -122".
  if ("syscall" in thrown && "errno" in thrown && typeof thrown.errno === "number") {
    return errnoName(-thrown.errno);
  }
  return typeof thrown.code === "string" ? thrown.code : undefined;
}
